import js from '@eslint/js';
import tseslint from 'typescript-eslint';
import { layersRule } from './scripts/lint/layers.js';

const house = { plugins: { house: { rules: { layers: layersRule } } } };

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'node_modules/', 'test/data/', 'share/', '.cache/'] },
  js.configs.recommended,
  {
    files: ['**/*.js'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', Buffer: 'readonly', URL: 'readonly' },
    },
  },
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // `const { left, ...rest } = object` takes a member away.
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
    },
  },
  {
    files: ['src/**/*.ts', 'native/**/*.ts'],
    ...house,
    rules: {
      'house/layers': 'error',
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      'no-restricted-syntax': [
        'error',
        {
          selector:
            "NewExpression[callee.name='Refusal'] > :first-child:not(Literal, MemberExpression, Identifier)",
          message: 'The check id of a refusal is a literal, so that the table of denials can be walked.',
        },
      ],
    },
  },
  {
    // Pure layers: time and randomness are parameters.
    files: [
      'src/{base,tpm,x509,evidence,artifact,audit,appraisal,authorization,credential,identity,policy,enrollment,lifecycle,lineage}/**/*.ts',
    ],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            {
              name: 'node:crypto',
              importNames: [
                ...['randomBytes', 'randomFill', 'randomFillSync', 'randomInt', 'randomUUID', 'webcrypto'],
                ...['generateKey', 'generateKeySync', 'generateKeyPair', 'generateKeyPairSync'],
              ],
              message: 'Randomness is a parameter (Random).',
            },
          ],
        },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Time is a parameter (Clock).' },
        { object: 'Math', property: 'random', message: 'Randomness is a parameter (Random).' },
      ],
    },
  },
  {
    // One bounds-checked reader: nobody else takes views of received bytes apart.
    files: ['src/**/*.ts'],
    ignores: ['src/base/**'],
    rules: {
      'no-restricted-properties': [
        'error',
        ...[
          'subarray',
          'readUInt8',
          'readUInt16BE',
          'readUInt16LE',
          'readUInt32BE',
          'readUInt32LE',
          'readBigUInt64BE',
          'readBigUInt64LE',
        ].map((property) => ({ property, message: 'Use Reader (src/base/reader.ts).' })),
        { object: 'Date', property: 'now', message: 'Time is a parameter (Clock) in pure layers.' },
        { object: 'Math', property: 'random', message: 'Randomness is a parameter (Random).' },
      ],
    },
  },
  {
    // The one table of denials grows with every check; it stays one file.
    files: ['src/lifecycle/denial.ts'],
    rules: { 'max-lines': 'off' },
  },
  {
    // ref-napi makes every pointer that it dereferences a Buffer of 1 GiB, which costs a full garbage collection:
    // pointers stay integers, and one file knows the FFI library.
    files: ['native/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        ...['deref', 'readPointer', 'writePointer', 'reinterpret', 'readObject', 'readCString'].map(
          (property) => ({
            property,
            message: 'Pointers are uint64 addresses (native/ffi.ts).',
          }),
        ),
      ],
    },
  },
  {
    files: ['native/**/*.ts'],
    ignores: ['native/ffi.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        { paths: ['ref-napi', 'ffi-napi', 'node:worker_threads'], patterns: ['ffi-napi/*'] },
      ],
    },
  },
  {
    files: ['test/**/*.ts', 'scripts/**/*.ts'],
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
      'max-lines-per-function': 'off',
    },
  },
);
