import { existsSync } from 'node:fs';
import path from 'node:path';
import { MAX_CONFIG, VERIFIER_SCHEMA, readConfig, verifierFiles } from '../config/index.ts';
import type { LoadedConfig, VerifierConfig, VerifierFiles } from '../config/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

const PLACES = ['sealgate.yaml', 'sealgate/sealgate.yaml', '/etc/sealgate/sealgate.yaml'];

/** A verifier's configuration, and where its files are. */
export interface FoundConfig extends LoadedConfig<VerifierConfig> {
  readonly files: VerifierFiles;
}

/**
 * Reads the configuration: the named file, else $SEALGATE_CONFIG, else the first of the usual places.
 * @throws UsageError when there is none; Refusal `config-form`
 */
export function findConfig(named?: string, environment: NodeJS.ProcessEnv = process.env): FoundConfig {
  const file = named ?? environment['SEALGATE_CONFIG'] ?? PLACES.find((place) => existsSync(place));
  if (file === undefined)
    throw new UsageError(
      `no configuration: give --config FILE, or begin with sealgate init (${PLACES.join(', ')})`,
    );
  const loaded = readConfig(VERIFIER_SCHEMA, readInput(file, 'configuration', MAX_CONFIG), environment);
  return { ...loaded, files: verifierFiles(path.resolve(file), loaded.config) };
}
