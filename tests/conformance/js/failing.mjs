// A stream whose engine fails in the middle: prints the error that the package throws.
//
// Arguments: base URL, model, package.
import { Ollama } from 'ollama';
import OpenAI from 'openai';

const [host, model, which] = process.argv.slice(2);
const messages = [{ role: 'user', content: 'Say hello.' }];

async function told(stream) {
  try {
    for await (const part of await stream) void part;
    return 'no error';
  } catch (error) {
    return `${error.constructor.name}: ${error.message}`;
  }
}

const started = {
  ollama: () => new Ollama({ host }).chat({ model, messages, stream: true }),
  openai: () =>
    new OpenAI({ baseURL: `${host}/v1`, apiKey: 'ollama', maxRetries: 0 }).chat.completions.create({
      model,
      messages,
      stream: true,
    }),
};
console.log(await told(started[which]()));
