import type { TranslationBundle } from '@jupyterlab/translation';

import { type IInstalledModel, type ILoadedModel, ServerMissingError } from './api';
import { humanBytes, untilUnload } from './units';

/** What the status dialog shows. */
export interface IStatus {
  version: string;
  loaded: ILoadedModel[];
  installed: IInstalledModel[];
}

interface IColumn<T> {
  label: string;
  number?: boolean;
  cell: (row: T) => Node | string;
}

/** The server's status as a heading and two tables. `now` in ms since the epoch. */
export function statusView(status: IStatus, trans: TranslationBundle, now: number): HTMLElement {
  return element(
    'div',
    { class: 'jp-OllamaStatus' },
    element(
      'p',
      { class: 'jp-OllamaStatus-summary' },
      element('span', { class: 'jp-OllamaStatus-light', 'aria-hidden': 'true' }),
      element('strong', {}, trans.__('Running')),
      element('span', { class: 'jp-OllamaStatus-note' }, trans.__('Ollama API %1', status.version))
    ),
    modelSection(
      trans.__('Loaded models'),
      trans.__('No model is loaded. A model loads when it is first used.'),
      status.loaded,
      loadedColumns(trans, now)
    ),
    modelSection(
      trans.__('Installed models'),
      trans.__('No model is installed.'),
      status.installed,
      installedColumns(trans)
    )
  );
}

/** Why there is no status to show. */
export function errorView(reason: unknown, trans: TranslationBundle): HTMLElement {
  const content =
    reason instanceof ServerMissingError
      ? withCode(
          trans.__(
            'The server extension is not enabled: run `jupyter server extension enable ollama_jupyter`, then restart Jupyter. If it is enabled, the log of Jupyter says why it did not start.'
          )
        )
      : [reason instanceof Error ? reason.message : String(reason)];
  return element(
    'div',
    // Not jp-mod-error: Lab's dialogs take that for invalid input and disable their buttons.
    { class: 'jp-OllamaStatus jp-mod-unavailable', role: 'alert' },
    element(
      'p',
      { class: 'jp-OllamaStatus-summary' },
      element('span', { class: 'jp-OllamaStatus-light', 'aria-hidden': 'true' }),
      element('strong', {}, trans.__('Not available'))
    ),
    element('p', { class: 'jp-OllamaStatus-reason' }, ...content)
  );
}

/** What stands in the dialog until the server has answered. */
export function waitingView(trans: TranslationBundle): HTMLElement {
  return element(
    'p',
    { class: 'jp-OllamaStatus jp-OllamaStatus-note' },
    trans.__('Asking the server…')
  );
}

function loadedColumns(trans: TranslationBundle, now: number): IColumn<ILoadedModel>[] {
  return [
    { label: trans.__('Name'), cell: nameCell },
    { label: trans.__('Memory'), number: true, cell: sizeCell },
    { label: trans.__('Context'), number: true, cell: model => contextCell(model, trans) },
    { label: trans.__('Unloads'), number: true, cell: model => expiryCell(model, trans, now) }
  ];
}

function installedColumns(trans: TranslationBundle): IColumn<IInstalledModel>[] {
  return [
    { label: trans.__('Name'), cell: nameCell },
    { label: trans.__('Size'), number: true, cell: sizeCell }
  ];
}

// <bdi>: a name with right-to-left marks must not turn its row around.
function nameCell(model: { name: string }): Node {
  return element('bdi', {}, model.name);
}

function sizeCell(model: { size: number }): string {
  return humanBytes(model.size);
}

function contextCell(model: ILoadedModel, trans: TranslationBundle): string {
  return model.context_length ? trans.__('%1 tokens', model.context_length.toLocaleString()) : '–';
}

function expiryCell(model: ILoadedModel, trans: TranslationBundle, now: number): Node {
  const expires = Date.parse(model.expires_at);
  return element('time', { datetime: model.expires_at }, untilUnload(expires, now, trans));
}

function modelSection<T>(
  title: string,
  empty: string,
  rows: T[],
  columns: IColumn<T>[]
): HTMLElement {
  return element(
    'section',
    { 'aria-label': title },
    element(
      'h3',
      {},
      title,
      ' ',
      element('span', { class: 'jp-OllamaStatus-count' }, rows.length.toLocaleString())
    ),
    rows.length
      ? table(title, rows, columns)
      : element('p', { class: 'jp-OllamaStatus-note' }, empty)
  );
}

function table<T>(title: string, rows: T[], columns: IColumn<T>[]): HTMLElement {
  const head = columns.map(column =>
    element('th', { scope: 'col', class: align(column) }, column.label)
  );
  return element(
    'table',
    { 'aria-label': title },
    element('thead', {}, element('tr', {}, ...head)),
    element(
      'tbody',
      {},
      ...rows.map(row => element('tr', {}, ...columns.map((column, i) => cell(column, row, i))))
    )
  );
}

function cell<T>(column: IColumn<T>, row: T, index: number): HTMLElement {
  const content = column.cell(row);
  return index === 0
    ? element('th', { scope: 'row' }, content)
    : element('td', { class: align(column) }, content);
}

function align<T>(column: IColumn<T>): string {
  return column.number ? 'jp-mod-number' : '';
}

/** Text between backticks becomes `<code>`. Only for our own texts. */
function withCode(text: string): (Node | string)[] {
  return text.split('`').map((part, i) => (i % 2 ? element('code', {}, part) : part));
}

/** Strings become text nodes, never markup: names come from models that anyone may have written. */
function element(
  tag: string,
  attributes: Record<string, string>,
  ...children: (Node | string)[]
): HTMLElement {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children);
  return node;
}
