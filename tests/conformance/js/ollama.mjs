// Every method of the `ollama` package for JavaScript that needs no account, against the server of argv[2].
//
// Arguments: base URL, headers as JSON, a model that writes, one that can call and think, a GGUF file to embed with.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Ollama } from 'ollama';

const [host, headers, model, able, gguf] = process.argv.slice(2);
const client = new Ollama({ host, headers: JSON.parse(headers) });
const options = { num_predict: 8, temperature: 0 };
const messages = [{ role: 'user', content: 'Say hello.' }];
// Allows one answer: two free ones may part at near ties.
const fixed = { const: 'One, two, three, four, five, six, seven.' };

async function check(what, work) {
  await work();
  console.log(`ok: ${what}`);
}

async function gather(stream, pick) {
  let text = '';
  let last;
  for await (const part of stream) {
    text += pick(part) ?? '';
    last = part;
  }
  return { text, last };
}

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

await check('version', async () => assert.match((await client.version()).version, /^\d/));

await check('generate, whole and in a stream', async () => {
  const whole = await client.generate({ model, prompt: 'Say hello.', options, format: fixed });
  assert.equal(whole.eval_count, 8);
  const { text, last } = await gather(
    await client.generate({ model, prompt: 'Say hello.', options, format: fixed, stream: true }),
    part => part.response,
  );
  assert.equal(text, whole.response);
  assert.equal(last.done, true);
});

await check('chat, whole and in a stream', async () => {
  const whole = await client.chat({ model, messages, options, format: fixed });
  const { text, last } = await gather(
    await client.chat({ model, messages, options, format: fixed, stream: true }),
    part => part.message.content,
  );
  assert.equal(text, whole.message.content);
  assert.equal(last.done_reason, 'length');
});

await check('chat with tools', async () => {
  const call = { function: { name: 'get_weather', arguments: { city: 'Paris' } } };
  const told = [
    ...messages,
    { role: 'assistant', content: '', tool_calls: [call] },
    { role: 'tool', content: 'Rain.', tool_name: 'get_weather' },
  ];
  const answer = await client.chat({ model: able, messages: told, tools: [weather], think: false, options });
  assert.equal(answer.done, true);
});

await check('chat that thinks', async () => {
  const answer = await client.chat({ model: able, messages, think: true, options });
  assert.ok(answer.message.thinking);
});

await check('chat in a format, with logprobs', async () => {
  const format = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
  const wanted = { ...options, num_predict: 40 };
  const answer = await client.chat({ model, messages, format, options: wanted, logprobs: true, top_logprobs: 2 });
  assert.equal(typeof JSON.parse(answer.message.content).n, 'number');
  assert.equal(answer.logprobs[0].top_logprobs.length, 2);
});

await check('abort ends a stream', async () => {
  const endless = { ...options, num_predict: -1 };
  const stream = await client.generate({ model, prompt: 'Count up from 1.', options: endless, stream: true });
  await assert.rejects(async () => {
    for await (const part of stream) {
      if (part.response) stream.abort();
    }
  }, { name: 'AbortError' });
});

await check('list, ps, show, copy, create, delete', async () => {
  assert.ok((await client.list()).models.length);
  assert.ok((await client.ps()).models.length);
  await client.copy({ source: model, destination: 'js-copy' });
  const steps = await gather(
    await client.create({ model: 'js-made', from: 'js-copy', system: 'Be brief.', stream: true }),
    step => `${step.status};`,
  );
  assert.match(steps.text, /success;$/);
  assert.equal((await client.show({ model: 'js-made' })).system, 'Be brief.');
  for (const name of ['js-copy', 'js-made']) {
    await client.delete({ model: name });
  }
});

await check('embed, embeddings', async () => {
  const data = await readFile(gguf);
  const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
  const sent = await fetch(`${host}/api/blobs/${digest}`, { method: 'POST', body: data, headers: JSON.parse(headers) });
  assert.equal(sent.ok, true);
  await client.create({ model: 'js-embed', files: { 'model.gguf': digest } });
  const answer = await client.embed({ model: 'js-embed', input: ['a b', 'x'] });
  assert.equal(answer.embeddings.length, 2);
  assert.ok((await client.embeddings({ model: 'js-embed', prompt: 'a' })).embedding.length);
  await client.delete({ model: 'js-embed' });
});

await check('pull and push say what is wrong', async () => {
  for (const verb of ['pull', 'push']) {
    await assert.rejects(client[verb]({ model: '127.0.0.1:9/none/none', insecure: true }));
  }
});

await check('errors have the status and our text', async () => {
  await assert.rejects(client.chat({ model: 'nope', messages }), { status_code: 404, message: "model 'nope' not found" });
  await assert.rejects(client.chat({ model, messages, options: { top_p: 2 } }), /top_p/);
});
