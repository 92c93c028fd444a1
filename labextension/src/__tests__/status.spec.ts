import { JupyterFrontEnd } from '@jupyterlab/application';
import { ServerConnection } from '@jupyterlab/services';
import { acceptDialog, waitForDialog } from '@jupyterlab/testing';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';

import plugins, { CommandIDs, OllamaClient } from '..';
import { StatusBody } from '../status';
import { pretendServer } from './server';

const API = 'http://server.test/user/ada/ollama/api';
const trans = nullTranslator.load('ollama_jupyter');
const REPLIES = {
  [`${API}/version`]: { body: { version: '0.33.0' } },
  [`${API}/ps`]: { body: { models: [] } },
  [`${API}/tags`]: { body: { models: [{ name: 'smollm2:135m', size: 98_362_432 }] } }
};

describe('StatusBody', () => {
  it('waits, then shows what the server says', async () => {
    const body = new StatusBody(pretendServer(REPLIES).client, trans);
    expect(body.node.textContent).toBe('Asking the server…');
    await body.ready;
    expect(body.node.textContent).toContain('smollm2:135m');
    expect(body.node.textContent).not.toContain('Asking');
  });

  it('shows why there is nothing to show', async () => {
    const body = new StatusBody(pretendServer({}).client, trans);
    await body.ready;
    expect(body.node.textContent).toContain('The server extension is not enabled');
  });

  it('does not mind that one of the routes fails', async () => {
    const replies = { ...REPLIES, [`${API}/ps`]: { status: 500, body: { error: 'engine lost' } } };
    const body = new StatusBody(pretendServer(replies).client, trans);
    await body.ready;
    expect(body.node.textContent).toContain('engine lost');
  });
});

describe('the plugins', () => {
  const [client, status] = plugins;

  function activate(palette: unknown): CommandRegistry {
    const commands = new CommandRegistry();
    const app = { commands } as unknown as JupyterFrontEnd;
    status.activate(app, pretendServer(REPLIES).client, null, palette);
    return commands;
  }

  it('have ids by which each can be disabled', () => {
    expect(plugins.map(plugin => plugin.id)).toEqual([
      'ollama-jupyter:client',
      'ollama-jupyter:status'
    ]);
  });

  it('need nothing that Notebook 7 lacks', () => {
    const required = plugins.flatMap(plugin => plugin.requires ?? []).map(token => token.name);
    expect(required).toEqual(['ollama-jupyter:IOllama']);
  });

  it('make a client of the server that the page came from', () => {
    const app = {
      serviceManager: { serverSettings: ServerConnection.makeSettings() }
    } as unknown as JupyterFrontEnd;
    expect(client.activate(app)).toBeInstanceOf(OllamaClient);
  });

  it('put the command into the palette', () => {
    const addItem = jest.fn();
    const commands = activate({ addItem });
    expect(commands.label(CommandIDs.status)).toBe('Ollama: Show Server Status');
    expect(addItem).toHaveBeenCalledWith({ command: CommandIDs.status, category: 'Ollama' });
  });

  it('open a dialog, also where there is no palette', async () => {
    const closed = activate(null).execute(CommandIDs.status);
    await waitForDialog();
    expect(document.querySelector('.jp-Dialog .jp-OllamaStatus')).not.toBeNull();
    await acceptDialog();
    await closed;
    expect(document.querySelector('.jp-Dialog')).toBeNull();
  });
});
