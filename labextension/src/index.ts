import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { OllamaClient } from './api';
import { showStatus } from './status';
import { IOllama } from './tokens';

export { OllamaClient, ServerMissingError, type IInstalledModel, type ILoadedModel } from './api';
export { IOllama } from './tokens';

/** The commands that this extension registers. */
export namespace CommandIDs {
  export const status = 'ollama-jupyter:status';
}

const client: JupyterFrontEndPlugin<OllamaClient> = {
  id: 'ollama-jupyter:client',
  description: 'A client of the Ollama API inside the Jupyter server.',
  autoStart: true,
  provides: IOllama,
  activate: (app: JupyterFrontEnd) => new OllamaClient(app.serviceManager.serverSettings)
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'ollama-jupyter:status',
  description: 'A command that shows the status of the Ollama server.',
  autoStart: true,
  requires: [IOllama],
  optional: [ITranslator, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    ollama: OllamaClient,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ) => {
    const trans = (translator ?? nullTranslator).load('ollama_jupyter');
    app.commands.addCommand(CommandIDs.status, {
      label: trans.__('Ollama: Show Server Status'),
      caption: trans.__('Show the version and the models of the Ollama server inside Jupyter'),
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => showStatus(ollama, trans)
    });
    palette?.addItem({ command: CommandIDs.status, category: trans.__('Ollama') });
  }
};

export default [client, status];
