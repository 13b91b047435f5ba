// The import table of docs/ARCHITECTURE.md as an ESLint rule: a folder imports only from lower layers, never
// sideways, and only the packages that its layer allows.
import path from 'node:path';

/** folder → layer */
const LAYER = {
  base: 0,
  tpm: 1,
  x509: 1,
  evidence: 2,
  artifact: 2,
  audit: 2,
  appraisal: 3,
  authorization: 3,
  credential: 3,
  identity: 3,
  policy: 4,
  enrollment: 5,
  lifecycle: 5,
  lineage: 5,
  store: 6,
  client: 6,
  config: 6,
  server: 7,
  agent: 7,
  gateway: 7,
  testing: 7,
  cli: 8,
};

/** Packages that a folder may import besides those of lower layers' public types. */
const PACKAGES = {
  x509: ['@peculiar/x509', 'reflect-metadata', 'asn1js'],
  artifact: ['pkijs', 'asn1js'],
  appraisal: ['jose'],
  authorization: ['jose'],
  credential: ['jose'],
  identity: ['jose'],
  policy: ['@cedar-policy/cedar-wasm', 'yaml'],
  store: ['kysely', '@photostructure/sqlite', 'pg'],
  config: ['typebox', 'yaml'],
  server: ['fastify', 'typebox', 'pino', 'prom-client', '@fastify/*'],
  agent: ['fastify', 'typebox', 'pino', 'prom-client'],
  gateway: ['fastify', 'typebox', 'pino', 'prom-client'],
  cli: ['commander'],
};

/** Sideways imports that the design allows. */
const SIDEWAYS = new Set(['gateway → agent']);
/** Node built-ins in the pure layers 0–5, all of them or one: computing only, no files, sockets, processes or workers. */
const PURE_BUILTINS = new Map([
  ['node:crypto', undefined],
  // A function of its input: status lists are compressed.
  ['node:zlib', 'authorization'],
]);
/**
 * Where packages are loaded by a call. The WebAssembly instance of Cedar lives in its module: a trap poisons it, and only
 * loading it anew helps. The second parsers are hundreds of files that most programs never need.
 */
const LOADERS = new Set(
  ['policy/cedar/load.ts', 'x509/second-reading.ts', 'artifact/second-reading.ts'].map((file) =>
    path.join('src', file),
  ),
);
const NATIVE_PACKAGES = ['ffi-napi', 'ref-napi'];
/** The one place that loads the TPM's library. */
const NATIVE_LOADER = path.join('src', 'agent', 'open-tpm.ts');
/** What of native loads no library: whoever starts processes waits for calls of the TPM by it. */
const PROCESS_GATE = path.join('native', 'process-gate.ts');

/**
 * Why an import is refused, or undefined when the table allows it.
 * @param isType of types alone, which cost nothing at run time
 */
export function importProblem(fromFile, specifier, root, isType = false) {
  const from = roomOf(path.relative(root, fromFile));
  if (from === undefined) return undefined;
  const file = path.relative(root, fromFile);
  if (specifier.startsWith('.')) {
    const target = path.relative(root, path.resolve(path.dirname(fromFile), specifier));
    if (roomOf(target) === 'native' && from !== 'native') return nativeProblem(from, target, file, isType);
    return folderProblem(from, roomOf(target));
  }
  if (specifier.startsWith('node:')) {
    const pure = from !== 'native' && LAYER[from] <= 5;
    const loader = specifier === 'node:module' && LOADERS.has(file);
    return pure && !isPureBuiltin(specifier, from) && !loader
      ? `${from} is pure: ${specifier} begins at layer 6`
      : undefined;
  }
  const allowed = from === 'native' ? NATIVE_PACKAGES : (PACKAGES[from] ?? []);
  const ok = allowed.some((name) =>
    name.endsWith('/*')
      ? specifier.startsWith(name.slice(0, -1))
      : specifier === name || specifier.startsWith(`${name}/`),
  );
  return ok ? undefined : `${from} may not import the package ${specifier}`;
}

function isPureBuiltin(specifier, from) {
  return PURE_BUILTINS.has(specifier) && [undefined, from].includes(PURE_BUILTINS.get(specifier));
}

/** The library is loaded in one place; what runs beside it may know its types, and its gate. */
function nativeProblem(from, target, file, isType) {
  if (file === NATIVE_LOADER) return undefined;
  if (LAYER[from] >= 7 && (isType || target === PROCESS_GATE)) return undefined;
  return `${from} may not import ${target}${LAYER[from] >= 7 ? ' by value' : ''}`;
}

function folderProblem(from, to) {
  if (to === undefined || from === to) return undefined;
  if (from === 'native')
    return to === 'base' || to === 'tpm' ? undefined : `native imports base and tpm only, not ${to}`;
  if (LAYER[to] < LAYER[from] || SIDEWAYS.has(`${from} → ${to}`)) return undefined;
  return `${from} (layer ${LAYER[from]}) may not import ${to} (layer ${LAYER[to]})`;
}

function roomOf(relative) {
  const [top, folder] = relative.split(path.sep);
  if (top === 'native') return 'native';
  if (top !== 'src') return undefined;
  if (folder === undefined || !(folder in LAYER))
    throw new Error(`no layer for src/${folder}: add it to scripts/lint/layers.js`);
  return folder;
}

/** The ESLint rule. */
export const layersRule = {
  meta: { type: 'problem', schema: [], messages: { layer: '{{reason}}' } },
  create(context) {
    const check = (node) => {
      if (node.source?.value === undefined) return;
      const isType = node.importKind === 'type' || node.exportKind === 'type';
      const reason = importProblem(context.filename, node.source.value, context.cwd, isType);
      if (reason !== undefined) context.report({ node, messageId: 'layer', data: { reason } });
    };
    return {
      ImportDeclaration: check,
      ExportNamedDeclaration: check,
      ExportAllDeclaration: check,
      ImportExpression: check,
    };
  },
};
