import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/** A model in the server's store, as `GET /api/tags` lists it. */
export interface IInstalledModel {
  name: string;
  /** Bytes on disk, all layers together. */
  size: number;
}

/** A model in memory, as `GET /api/ps` lists it. */
export interface ILoadedModel {
  name: string;
  /** Bytes of memory. */
  size: number;
  /** Tokens that one sequence may hold; absent from servers older than Ollama 0.9. */
  context_length?: number;
  /** RFC 3339; centuries ahead means: keep loaded; in the past: as soon as its work is done. */
  expires_at: string;
}

/** No server extension answers at `{baseUrl}ollama/`. */
export class ServerMissingError extends Error {
  constructor() {
    super('The Ollama server extension does not answer.');
    this.name = 'ServerMissingError';
  }
}

/** What a front end may ask of the Ollama API inside the Jupyter server. Every method rejects with an `Error` whose
 *  message is the server's own text, or with a `ServerMissingError`. */
export class OllamaClient {
  constructor(private readonly settings: ServerConnection.ISettings) {}

  async version(): Promise<string> {
    return (await this.get<{ version: string }>('version')).version;
  }

  async installed(): Promise<IInstalledModel[]> {
    return (await this.get<{ models: IInstalledModel[] | null }>('tags')).models ?? [];
  }

  async loaded(): Promise<ILoadedModel[]> {
    return (await this.get<{ models: ILoadedModel[] | null }>('ps')).models ?? [];
  }

  private async get<T>(route: string): Promise<T> {
    const url = URLExt.join(this.settings.baseUrl, 'ollama', 'api', route);
    const response = await ServerConnection.makeRequest(url, {}, this.settings);
    const text = await response.text();
    if (!response.ok) {
      throw failure(response, text);
    }
    return JSON.parse(text) as T;
  }
}

/** Ollama says `{"error": text}`, Jupyter says `{"message": text}`, a proxy says anything. */
function failure(response: Response, text: string): Error {
  const { error, message } = parseObject(text);
  if (typeof error === 'string') {
    return new Error(error);
  }
  // Ollama's own 404 for an unknown path: the extension is there, only older or newer than this client.
  if (response.status === 404 && text.trim() !== '404 page not found') {
    return new ServerMissingError();
  }
  return new Error(
    typeof message === 'string' && message
      ? message
      : `${response.status} ${response.statusText}`.trim()
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}
