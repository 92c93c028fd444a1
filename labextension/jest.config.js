const base = require('@jupyterlab/testing/lib/jest-config');

// JupyterLab and some of its dependencies ship ES modules only, which Jest has to transform.
const esModules = [
  '@codemirror',
  '@jupyter/react-components',
  '@jupyter/web-components',
  '@jupyter/ydoc',
  '@jupyterlab/',
  '@lezer',
  '@marijn',
  '@microsoft',
  'exenv-es6',
  'lib0',
  'nanoid',
  'style-mod',
  'vscode-ws-jsonrpc',
  'y-protocols',
  'y-websocket',
  'yjs'
].join('|');

const { preset, moduleNameMapper, setupFiles, testEnvironment, transform } = base(__dirname);

module.exports = {
  preset,
  moduleNameMapper,
  setupFiles,
  testEnvironment,
  transform,
  testMatch: ['<rootDir>/src/__tests__/*.spec.ts'],
  transformIgnorePatterns: [`/node_modules/(?!${esModules}).+`]
};
