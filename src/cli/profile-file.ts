import { existsSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Command } from 'commander';
import { fromUtf8, refuse } from '../base/index.ts';
import { VerifierClient } from '../client/verifier-client.ts';
import { MAX_CONFIG, readConfig } from '../config/load.ts';
import { PROFILE_SCHEMA } from '../config/profile.ts';
import type { Profile } from '../config/index.ts';
import { UsageError } from './errors.ts';
import { readInput, readSecretInput } from './input.ts';

/** A profile, and where it was found. */
export interface FoundProfile extends Profile {
  readonly file: string;
  /** Where the newest checkpoint that was verified under this profile is remembered. */
  readonly checkpointFile: string;
}

/** Options of every command that talks to a verifier. */
export interface ProfileOptions {
  readonly profile?: string;
}

/** Adds `--profile` and `--json`. */
export function withProfileOptions(command: Command): Command {
  return command
    .option('--profile <name>', 'how to reach the verifier: a name, or a file NAME.yaml ($SEALGATE_PROFILE)')
    .option('--json', 'one JSON document');
}

const ENDING = '.yaml';

/**
 * Finds and reads a profile: the one named by `--profile`, else by `$SEALGATE_PROFILE`, else the only one there is. A
 * name is looked for in `$SEALGATE_PROFILES`, `./operators` and `~/.config/sealgate/profiles`.
 * @throws UsageError when there is none; Refusal `config-form`, `secret-file`
 */
export function findProfile(
  { profile }: ProfileOptions,
  environment: NodeJS.ProcessEnv = process.env,
): FoundProfile {
  const file = profileFile(profile ?? environment['SEALGATE_PROFILE'], placesOf(environment));
  const bytes = readInput(file, 'profile', MAX_CONFIG);
  // The fingerprint in it decides who is believed: nobody else may write it.
  if ((statSync(file).mode & 0o022) !== 0) refuse('secret-file', 'others can change the profile', { file });
  const { config } = readConfig(PROFILE_SCHEMA, bytes);
  return { ...config, file, checkpointFile: `${file.slice(0, -ENDING.length)}.checkpoint` };
}

function placesOf(environment: NodeJS.ProcessEnv): readonly string[] {
  const named = environment['SEALGATE_PROFILES'];
  return [
    ...(named === undefined || named === '' ? [] : [named]),
    'operators',
    path.join(environment['HOME'] ?? homedir(), '.config', 'sealgate', 'profiles'),
  ];
}

function profileFile(named: string | undefined, places: readonly string[]): string {
  if (named === undefined || named === '') return onlyProfile(places);
  if (named.includes('/') || named.endsWith(ENDING)) {
    if (!named.endsWith(ENDING)) throw new UsageError('--profile: the file of a profile is called NAME.yaml');
    return path.resolve(named);
  }
  const found = places.map((place) => path.resolve(place, named + ENDING)).find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new UsageError(`--profile: no ${named}${ENDING} in ${places.join(', ')}`);
}

function onlyProfile(places: readonly string[]): string {
  const found = places
    .filter((place) => existsSync(place) && statSync(place).isDirectory())
    .flatMap((place) =>
      readdirSync(place)
        .filter((name) => name.endsWith(ENDING))
        .map((name) => path.resolve(place, name)),
    );
  const [only, ...more] = new Set(found);
  if (only !== undefined && more.length === 0) return only;
  throw new UsageError(
    only === undefined
      ? `no profile: give --profile FILE, or put one into ${places.join(' or ')}`
      : `which profile? give --profile: ${[only, ...more].map((file) => path.basename(file, ENDING)).join(', ')}`,
  );
}

/**
 * A client of the profile's verifier, with its certificate where it has one. The key's mode is judged (0600).
 * @throws Refusal `secret-file`, `verifier-address`
 */
export async function connectProfile(profile: FoundProfile): Promise<VerifierClient> {
  const { url, caFingerprint, certificate, key, file } = profile;
  const at = (name: string): string => path.resolve(path.dirname(file), name);
  const pem = (bytes: Uint8Array): string => fromUtf8(bytes, 'PEM');
  return await VerifierClient.connect({
    url,
    caFingerprint,
    ...(certificate === '' || key === ''
      ? {}
      : {
          certificatePem: pem(readInput(at(certificate), 'certificate', 64 * 1024)),
          keyPem: pem(readSecretInput(at(key))),
        }),
  });
}

/** Runs `task` with a client of the chosen profile, and closes it. */
export async function withVerifier<T>(
  options: ProfileOptions,
  task: (client: VerifierClient, profile: FoundProfile) => Promise<T>,
): Promise<T> {
  const profile = findProfile(options);
  await using client = await connectProfile(profile);
  return await task(client, profile);
}
