import { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { Widget } from '@lumino/widgets';

import type { OllamaClient } from './api';
import { errorView, type IStatus, statusView, waitingView } from './view';

/** Everything that the dialog shows, asked for at once. Rejects as `OllamaClient` does. */
export async function fetchStatus(client: OllamaClient): Promise<IStatus> {
  const [version, loaded, installed] = await Promise.all([
    client.version(),
    client.loaded(),
    client.installed()
  ]);
  return { version, loaded, installed };
}

/** The dialog's body: says that it waits, then what the server said. */
export class StatusBody extends Widget {
  /** Settles when the body shows its final content; never rejects. */
  readonly ready: Promise<void>;

  constructor(client: OllamaClient, trans: TranslationBundle) {
    super();
    this.addClass('jp-OllamaStatus-body');
    // A long list of models is scrolled by keyboard too.
    this.node.tabIndex = 0;
    // Screen readers are told when the answer replaces the waiting text.
    this.node.setAttribute('aria-live', 'polite');
    this.node.append(waitingView(trans));
    this.ready = fetchStatus(client)
      .then(status => statusView(status, trans, Date.now()))
      .catch(reason => errorView(reason, trans))
      .then(view => this.node.replaceChildren(view));
  }
}

/** Opens the dialog; resolves when it is closed. */
export async function showStatus(client: OllamaClient, trans: TranslationBundle): Promise<void> {
  const dialog = new Dialog({
    title: trans.__('Ollama server'),
    body: new StatusBody(client, trans),
    buttons: [Dialog.okButton({ label: trans.__('Close') })],
    hasClose: true
  });
  await dialog.launch();
}
