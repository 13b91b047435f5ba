import type { JsonObject } from '../base/index.ts';
import { UPDATED_LISTS } from './references.ts';

const HEX32 = '^[0-9a-f]{64}$';
const closed = (
  properties: JsonObject,
  required: readonly string[] = Object.keys(properties),
): JsonObject => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
});
const list = (items: JsonObject, description: string, maxItems = 100_000): JsonObject => ({
  type: 'array',
  items,
  description,
  maxItems,
});
const map = (pattern: string, additionalProperties: JsonObject, description: string): JsonObject => ({
  type: 'object',
  propertyNames: { pattern },
  additionalProperties,
  description,
});
const text = { type: 'string', minLength: 1 };
const texts = (description: string): JsonObject => list({ type: 'string' }, description);
const hash = { type: 'string', pattern: HEX32 };
const hashes = (description: string): JsonObject => list(hash, description);
const measured = closed({ sha256: hash, label: { type: 'string', description: 'For people' } }, ['sha256']);
const digests = (description: string): JsonObject => list(measured, description);
const sha256s = list({ type: 'string', pattern: '^sha256:[0-9a-f]{64}$' }, 'sha256: and 64 hex digits');
const ruleDigests = list(text, 'sha256:…, verity:sha256:…', 1000);
const patterns = (description: string): JsonObject => list(text, description);

const commandLine = closed({
  lines: texts('Allowed exactly'),
  arguments: texts('Arguments that are allowed exactly'),
  prefixes: list(text, 'What an argument may begin with'),
  required: texts('Arguments that must be there'),
});

const eventLog = closed(
  {
    secureBoot: closed({ enabled: { type: 'boolean' }, enforced: { type: 'boolean' } }),
    commandLine,
    bootApplications: digests('Authenticode digests of all images that may start'),
    drivers: digests('Firmware drivers'),
    bootFiles: digests('Files that the boot loader may read'),
    unifiedKernelImage: map('^[ -~]{1,64}$', digests('Allowed contents'), 'Sections by name'),
    stubParameters: digests('Parameters of systemd-stub'),
    systemExtensions: digests('System extensions'),
    mok: digests('MOK variables of shim'),
    firmware: digests('Measurements of PCR 0'),
    grubCommands: texts('Commands of GRUB'),
    authorities: hashes('Certificates or digests that images may be allowed by'),
    platformKey: hashes('Certificates of PK'),
    keyExchangeKeys: hashes('Certificates of KEK'),
    db: hashes('Certificates and digests of db'),
    requiredDbx: hashes('Digests that dbx must hold'),
    sbatLevels: texts('SBAT levels of shim'),
  },
  [],
);

const rules = closed({
  files: map('^[^]{1,16384}$', ruleDigests, 'Digests by path'),
  globs: list(closed({ path: text, digests: ruleDigests }), 'Digests under every path that matches'),
  signed: list(closed({ path: text, keyrings: list(text, 'Names', 64) }), 'Paths that need a signature'),
  keyrings: map('^[^]{1,16384}$', list(text, 'DER as base64', 256), 'Certificates or keys by keyring'),
  measuredKeyrings: map('^[^]{1,16384}$', sha256s, 'Keys that the host may load, by keyring'),
  buffers: map('^[^]{1,16384}$', { oneOf: [sha256s, { const: 'any' }] }, 'Buffers that may be measured'),
  excludes: patterns('Paths that are not judged'),
  denied: closed({ paths: patterns('Never allowed'), digests: list(text, 'Never allowed'), keys: sha256s }),
  violations: patterns('Paths whose violations are tolerated'),
});

const coverage = closed(
  {
    builtInPolicies: list(text, 'Of which the command line must ask for one', 16),
    policyFiles: list(
      closed({ sha256: hash, exempt: list(text, 'What it leaves out', 64) }),
      'Custom policies',
      64,
    ),
    lockdown: { enum: ['none', 'integrity', 'confidentiality'] },
    kexec: hashes('Command lines that kexec may load'),
  },
  ['policyFiles', 'lockdown', 'kexec'],
);

const pcrSet = closed({
  name: text,
  bank: { enum: ['sha256', 'sha384', 'sha512'] },
  values: map(
    '^(?:[0-9]|1[0-9]|2[0-3])$',
    list(
      { type: 'string', pattern: '^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$' },
      'Allowed values',
      1000,
    ),
    'By PCR',
  ),
});

const time = { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$' };
const update = closed(
  {
    name: text,
    notBefore: time,
    notAfter: time,
    files: map('^[^]{1,16384}$', ruleDigests, 'Digests by path, besides ima.rules.files'),
    pcrs: map(
      '^[^]{1,512}$',
      map('^(?:[0-9]|1[0-9]|2[0-3])$', texts('Values'), 'By PCR'),
      'By name of the set',
    ),
    eventLog: closed(
      Object.fromEntries(UPDATED_LISTS.map((name) => [name, digests('Besides those of eventLog')])),
      [],
    ),
    commandLines: texts('Besides eventLog.commandLine.lines'),
  },
  ['name', 'notBefore', 'notAfter'],
);

/**
 * JSON Schema (2020-12) of reference values, for editors; what is refused in the end is what `parseReferences` refuses,
 * which also asks for what no schema says, e.g. a command-line rule wherever a built-in IMA policy is named.
 */
export const REFERENCES_JSON_SCHEMA: JsonObject = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'https://sealgate.dev/schema/references-v1.json',
  title: 'Sealgate reference values',
  ...closed(
    {
      version: { const: 1 },
      platform: text,
      tpm: closed(
        {
          manufacturers: list(text, 'Of the EK certificate', 64),
          firmwareFloor: { type: 'string', pattern: '^[0-9a-f]{16}$' },
        },
        [],
      ),
      pcrs: list(pcrSet, 'Sets of PCR values', 64),
      eventLog,
      ima: closed({ rules, coverage }),
      updates: list(update, 'Values that are allowed besides, each for a time', 8),
      gateway: closed({ files: map('^/[^\\0]{1,4095}$', hash, 'SHA-256 by path of the gateway’s files') }),
    },
    ['version', 'platform'],
  ),
};
