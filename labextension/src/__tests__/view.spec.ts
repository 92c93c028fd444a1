import { nullTranslator } from '@jupyterlab/translation';

import { ServerMissingError } from '../api';
import { errorView, type IStatus, statusView } from '../view';

const trans = nullTranslator.load('ollama_jupyter');
const NOW = Date.parse('2026-11-23T12:00:00Z');

const STATUS: IStatus = {
  version: '0.33.0',
  loaded: [
    {
      name: 'smollm2:135m',
      size: 152_000_000,
      context_length: 4096,
      expires_at: '2026-11-23T12:05:00Z'
    }
  ],
  installed: [
    { name: 'smollm2:135m', size: 98_362_432 },
    { name: 'llama3.2:latest', size: 2_019_393_189 }
  ]
};

function cells(table: Element): string[][] {
  return [...table.querySelectorAll('tr')].map(row =>
    [...row.children].map(cell => cell.textContent ?? '')
  );
}

describe('statusView', () => {
  it('shows the version and both tables', () => {
    const view = statusView(STATUS, trans, NOW);
    expect(view.querySelector('p')?.textContent).toContain('Ollama API 0.33.0');
    const [loaded, installed] = view.querySelectorAll('table');
    expect(cells(loaded)).toEqual([
      ['Name', 'Memory', 'Context', 'Unloads'],
      ['smollm2:135m', '152 MB', '4,096 tokens', 'in 5 min']
    ]);
    expect(cells(installed)).toEqual([
      ['Name', 'Size'],
      ['smollm2:135m', '98.4 MB'],
      ['llama3.2:latest', '2.0 GB']
    ]);
    expect([...view.querySelectorAll('h3')].map(h => h.textContent)).toEqual([
      'Loaded models 1',
      'Installed models 2'
    ]);
  });

  it('names tables, and marks header cells, for screen readers', () => {
    const view = statusView(STATUS, trans, NOW);
    for (const table of view.querySelectorAll('table')) {
      expect(table.getAttribute('aria-label')).toMatch(/models$/);
      expect(table.querySelectorAll('thead th:not([scope=col])')).toHaveLength(0);
      for (const row of table.querySelectorAll('tbody tr')) {
        expect(row.firstElementChild?.matches('th[scope=row]')).toBe(true);
      }
    }
  });

  it('says in words that there are no models', () => {
    const view = statusView({ version: '0.33.0', loaded: [], installed: [] }, trans, NOW);
    expect(view.querySelector('table')).toBeNull();
    expect(view.textContent).toContain('No model is loaded.');
    expect(view.textContent).toContain('No model is installed.');
  });

  it('shows a dash where a server does not tell the context length', () => {
    const [{ name, size, expires_at }] = STATUS.loaded;
    const view = statusView({ ...STATUS, loaded: [{ name, size, expires_at }] }, trans, NOW);
    expect(cells(view.querySelectorAll('table')[0])[1][2]).toBe('–');
  });

  it('never takes a name, a version or a time for markup', () => {
    const evil = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
    const view = statusView(
      {
        version: evil,
        loaded: [{ name: evil, size: 1, context_length: 1, expires_at: '"><img src=x>' }],
        installed: [{ name: evil, size: 1 }]
      },
      trans,
      NOW
    );
    expect(view.querySelector('img, script')).toBeNull();
    expect(cells(view.querySelectorAll('table')[1])[1][0]).toBe(evil);
  });
});

describe('errorView', () => {
  it('says how to enable a missing server extension', () => {
    const view = errorView(new ServerMissingError(), trans);
    expect(view.getAttribute('role')).toBe('alert');
    expect(view.textContent).toContain(
      'The server extension is not enabled: run jupyter server extension enable ollama_jupyter'
    );
    expect(view.querySelector('code')?.textContent).toBe(
      'jupyter server extension enable ollama_jupyter'
    );
  });

  it("shows a server's own text, as text", () => {
    const view = errorView(new Error('disk `full` <b>now</b>'), trans);
    expect(view.textContent).toContain('disk `full` <b>now</b>');
    expect(view.querySelector('b, code')).toBeNull();
  });
});
