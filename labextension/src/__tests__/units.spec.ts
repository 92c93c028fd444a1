import { nullTranslator } from '@jupyterlab/translation';

import { humanBytes, untilUnload } from '../units';

const trans = nullTranslator.load('ollama_jupyter');
const NOW = Date.parse('2026-11-23T12:00:00Z');

describe('humanBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [999.6, '1.0 kB'],
    [1000, '1.0 kB'],
    [98_362_432, '98.4 MB'],
    [99_960_000, '100 MB'],
    [270_898_672, '271 MB'],
    [999_600_000, '1.0 GB'],
    [4_661_224_676, '4.7 GB'],
    [2e18, '2000 PB'],
    [-1, '0 B']
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(humanBytes(bytes)).toBe(text);
  });
});

describe('untilUnload', () => {
  it.each([
    ['2026-11-23T12:00:00.4Z', 'in 1 s'],
    ['2026-11-23T12:00:42Z', 'in 42 s'],
    ['2026-11-23T12:00:59.5Z', 'in 1 min'],
    ['2026-11-23T12:04:40.123456789+00:00', 'in 5 min'],
    ['2026-11-23T13:59:50+01:00', 'in 1 h'],
    ['2026-11-24T12:00:00Z', 'in 24 h'],
    ['2026-11-30T12:00:00Z', 'in 7 d'],
    ['2319-03-01T00:00:00Z', 'never'],
    ['2026-11-23T11:59:59Z', 'when idle'],
    ['0001-01-01T00:00:00Z', 'when idle'],
    ['soon', 'unknown']
  ])('says of %s: %s', (expires, text) => {
    expect(untilUnload(Date.parse(expires), NOW, trans)).toBe(text);
  });
});
