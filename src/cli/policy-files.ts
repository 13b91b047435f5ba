import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { formatTime } from '../artifact/index.ts';
import { refuse } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import { REFERENCES_LIMITS } from '../appraisal/index.ts';
import { CEDAR_SCHEMA, POLICY_FILE, SCHEMA_FILE } from '../policy/index.ts';
import type { PolicySources } from '../policy/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

const MAX_FILES = 512;
const MAX_TOTAL = 128 * 1024 * 1024;
const VALIDITY_DAYS = 90;
const DAY = 86_400_000;

/**
 * Every regular file of a bundle's directory, by its path inside. Links and hidden files are left out: what is built is
 * what lies there.
 * @throws UsageError when there is no such directory; Refusal `policy-size`
 */
export function readSources(directory: string): PolicySources {
  const files = new Map<string, Uint8Array>();
  let total = 0;
  const visit = (folder: string): void => {
    for (const entry of entriesOf(path.join(directory, folder))) {
      if (entry.name.startsWith('.')) continue;
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(name);
      if (!entry.isFile()) continue;
      if (files.size === MAX_FILES)
        refuse('policy-size', `more than ${String(MAX_FILES)} files in the directory`);
      const bytes = readInput(path.join(directory, name), name, REFERENCES_LIMITS.maxBytes);
      total += bytes.length;
      if (total > MAX_TOTAL) refuse('policy-size', `more than ${String(MAX_TOTAL)} bytes in the directory`);
      files.set(name, bytes);
    }
  };
  visit('');
  return files;
}

function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new UsageError(
      `can't open ${directory}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

const TEMPLATES = [
  POLICY_FILE,
  'execute.cedar',
  'administer.cedar',
  'cases.yaml',
  'references/server.json',
] as const;

/**
 * Writes the starter bundle into a directory that is new or empty.
 * @returns the files, in the order in which a person should read them
 * @throws UsageError when something is there already
 */
export function writeStarter(directory: string, trustDomain: string, clock: Clock): readonly string[] {
  if (existsSync(directory) && entriesOf(directory).length > 0)
    throw new UsageError(`${directory} is not empty: nothing is overwritten`);
  const share = templateFolder();
  const now = Math.floor(clock.now() / 1000) * 1000;
  const fill = (text: string): string =>
    text
      .replaceAll('@TRUST_DOMAIN@', trustDomain)
      .replaceAll('@NOT_BEFORE@', formatTime(now))
      .replaceAll('@NOT_AFTER@', formatTime(now + VALIDITY_DAYS * DAY));
  const files = new Map<string, string>(
    TEMPLATES.map((name) => [name, fill(readFileSync(path.join(share, name), 'utf8'))]),
  );
  files.set('artifacts.json', nobodysTrust());
  files.set(SCHEMA_FILE, CEDAR_SCHEMA);
  try {
    mkdirSync(path.join(directory, 'references'), { recursive: true });
    for (const [name, text] of files) writeFileSync(path.join(directory, name), text, { flag: 'wx' });
  } catch (error) {
    throw new UsageError(
      `can't write ${directory}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  return [...files.keys()];
}

/** Trust in a key whose private half is forgotten here: a form to fill in that trusts nobody until it is. */
function nobodysTrust(): string {
  const { publicKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'pem' });
  const signer = { name: 'nobody-holds-this-key', key, algorithm: 'ed25519' };
  return `${JSON.stringify({ version: 1, threshold: 1, signers: [signer] }, null, 2)}\n`;
}

/** `share/policy` beside the sources or beside `dist`. */
function templateFolder(): string {
  const found = ['../../share/policy', '../../../share/policy']
    .map((relative) => path.resolve(import.meta.dirname, relative))
    .find((folder) => existsSync(path.join(folder, POLICY_FILE)));
  return found ?? refuse('internal', 'share/policy is missing from this installation');
}
