import { Token } from '@lumino/coreutils';

import type { OllamaClient } from './api';

/** The client of the Ollama API inside the Jupyter server, for other plugins and extensions. */
export const IOllama = new Token<OllamaClient>(
  'ollama-jupyter:IOllama',
  'A client of the Ollama API that the Jupyter server offers.'
);
