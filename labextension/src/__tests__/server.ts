import { ServerConnection } from '@jupyterlab/services';

import { OllamaClient } from '../api';

/** A reply of the pretended server; `body` is sent as JSON unless it is text. */
export interface IReply {
  status?: number;
  body?: unknown;
}

/** A client of a server that gives these replies by URL, and the requests that it got. */
export function pretendServer(
  replies: Record<string, IReply>,
  baseUrl = 'http://server.test/user/ada/'
): { client: OllamaClient; requests: Request[] } {
  const requests: Request[] = [];
  const answer = async (request: RequestInfo | URL): Promise<Response> => {
    const asked = request as Request;
    requests.push(asked);
    // Jupyter's client adds a time stamp as the query, against caches.
    const reply = replies[asked.url.split('?')[0]] ?? {
      status: 404,
      body: '<html>404 : Not Found</html>'
    };
    const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body);
    return new Response(text, { status: reply.status ?? 200 });
  };
  const settings = ServerConnection.makeSettings({ baseUrl, token: 'secret', fetch: answer });
  return { client: new OllamaClient(settings), requests };
}
