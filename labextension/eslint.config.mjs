import js from '@eslint/js';
import tseslint from 'typescript-eslint';

export default tseslint.config(js.configs.recommended, tseslint.configs.strict, {
  rules: {
    curly: 'error',
    eqeqeq: 'error',
    // JupyterLab's own convention for command ids.
    '@typescript-eslint/no-namespace': 'off'
  }
});
