// The `openai` package for JavaScript against the server of argv[2].
//
// Arguments: base URL, headers as JSON, a model that writes, one that can call and think.
import assert from 'node:assert/strict';
import OpenAI, { NotFoundError } from 'openai';

const [host, headers, model, able] = process.argv.slice(2);
const defaultHeaders = JSON.parse(headers);
const client = new OpenAI({ baseURL: `${host}/v1`, apiKey: 'ollama', defaultHeaders, maxRetries: 0 });
const few = { max_tokens: 8, temperature: 0 };
const messages = [{ role: 'user', content: 'Say hello.' }];
// Allows one answer: two free ones may part at near ties.
const fixed = { const: 'One, two, three, four, five, six, seven.' };
const response_format = { type: 'json_schema', json_schema: { name: 'fixed', schema: fixed } };

async function check(what, work) {
  await work();
  console.log(`ok: ${what}`);
}

await check('models', async () => {
  const found = [];
  for await (const one of await client.models.list()) found.push(one.id);
  assert.ok(found.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
});

await check('chat, whole and in a stream', async () => {
  const whole = await client.chat.completions.create({ model, messages, response_format, ...few });
  assert.equal(whole.usage.completion_tokens, 8);
  let text = '';
  for await (const part of await client.chat.completions.create({ model, messages, response_format, stream: true, ...few })) {
    text += part.choices[0]?.delta?.content ?? '';
  }
  assert.equal(text, whole.choices[0].message.content);
});

await check('the helper of streams', async () => {
  const final = await client.chat.completions.stream({ model, messages, ...few }).finalContent();
  assert.ok(final.length);
});

await check('a forced call', async () => {
  const parameters = { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] };
  const tools = [{ type: 'function', function: { name: 'add', parameters } }];
  const answer = await client.chat.completions.create({
    model: able, messages, tools, tool_choice: 'required', parallel_tool_calls: false, max_tokens: 128,
    reasoning_effort: 'none',
  });
  assert.equal(answer.choices[0].finish_reason, 'tool_calls');
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(typeof JSON.parse(call.function.arguments).a, 'number');
});

await check('a JSON Schema', async () => {
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false };
  const wanted = { type: 'json_schema', json_schema: { name: 'n', strict: true, schema } };
  const answer = await client.chat.completions.create({ model, messages, response_format: wanted, max_tokens: 64 });
  assert.equal(typeof JSON.parse(answer.choices[0].message.content).n, 'number');
});

await check('completions', async () => {
  const answer = await client.completions.create({ model, prompt: 'Once upon a time', ...few });
  assert.ok(answer.choices[0].text);
});

await check('responses, whole and in a stream', async () => {
  const text = { format: { type: 'json_schema', name: 'fixed', schema: fixed } };
  const asked = { model, input: 'Say hello.', text, max_output_tokens: 8, temperature: 0 };
  const whole = await client.responses.create(asked);
  assert.ok(whole.output_text);
  let told = '';
  for await (const event of await client.responses.create({ ...asked, stream: true })) {
    if (event.type === 'response.output_text.delta') told += event.delta;
  }
  assert.equal(told, whole.output_text);
});

await check('errors are of their classes', async () => {
  await assert.rejects(client.chat.completions.create({ model: 'nope', messages }), NotFoundError);
});
