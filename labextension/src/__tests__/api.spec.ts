import { ServerConnection } from '@jupyterlab/services';

import { OllamaClient, ServerMissingError } from '../api';
import { pretendServer } from './server';

const API = 'http://server.test/user/ada/ollama/api';

describe('OllamaClient', () => {
  it('asks under the base URL, with the token that Jupyter wants', async () => {
    const { client, requests } = pretendServer({
      [`${API}/version`]: { body: { version: '0.33.0' } }
    });
    await expect(client.version()).resolves.toBe('0.33.0');
    expect(requests).toHaveLength(1);
    expect(requests[0].method).toBe('GET');
    expect(requests[0].headers.get('Authorization')).toBe('token secret');
  });

  it('lists installed and loaded models', async () => {
    const installed = [{ name: 'smollm2:135m', size: 98_000_000 }];
    const loaded = [
      {
        name: 'smollm2:135m',
        size: 150_000_000,
        context_length: 4096,
        expires_at: '2026-11-23T12:00:00Z'
      }
    ];
    const { client } = pretendServer({
      [`${API}/tags`]: { body: { models: installed } },
      [`${API}/ps`]: { body: { models: loaded } }
    });
    await expect(client.installed()).resolves.toEqual(installed);
    await expect(client.loaded()).resolves.toEqual(loaded);
  });

  it('takes null, as Go writes an empty list, for no models', async () => {
    const { client } = pretendServer({
      [`${API}/tags`]: { body: { models: null } },
      [`${API}/ps`]: { body: { models: null } }
    });
    await expect(client.installed()).resolves.toEqual([]);
    await expect(client.loaded()).resolves.toEqual([]);
  });

  it.each([
    ["Ollama's shape", 500, { error: 'the store cannot be read' }, 'the store cannot be read'],
    ["Ollama's shape with 404", 404, { error: 'no such thing' }, 'no such thing'],
    ["Jupyter's shape", 403, { message: 'Forbidden', reason: null }, 'Forbidden'],
    ["a proxy's page", 502, '<html>Bad gateway</html>', '502'],
    ['a JSON null', 500, 'null', '500'],
    ["Ollama's unknown path", 404, '404 page not found', '404']
  ])('rejects with the text of %s', async (_, status, body, message) => {
    const { client } = pretendServer({ [`${API}/version`]: { status, body } });
    await expect(client.version()).rejects.toThrow(new Error(message));
    await expect(client.version()).rejects.not.toBeInstanceOf(ServerMissingError);
  });

  it.each([
    ["Jupyter's page", '<html>404 : Not Found</html>'],
    ["Jupyter's JSON", { message: 'Not Found', reason: null }]
  ])('knows %s for a 404 as a missing server extension', async (_, body) => {
    const { client } = pretendServer({ [`${API}/version`]: { status: 404, body } });
    await expect(client.version()).rejects.toBeInstanceOf(ServerMissingError);
  });

  it('rejects when the Jupyter server cannot be reached', async () => {
    const settings = ServerConnection.makeSettings({
      baseUrl: 'http://server.test/',
      fetch: () => Promise.reject(new TypeError('Failed to fetch'))
    });
    await expect(new OllamaClient(settings).version()).rejects.toThrow('Failed to fetch');
  });
});
