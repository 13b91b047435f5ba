import { existsSync } from 'node:fs';
import { AGENT_SCHEMA, MAX_CONFIG, readConfig } from '../config/index.ts';
import type { AgentConfig } from '../config/index.ts';
import { readInput } from './input.ts';

const PLACE = '/etc/sealgate/agent.yaml';

/**
 * A host agent's configuration: the named file, else $SEALGATE_AGENT_CONFIG, else /etc/sealgate/agent.yaml; without a file
 * the defaults, with what the environment says.
 * @throws UsageError for a named file that can't be opened; Refusal `config-form`
 */
export function findAgentConfig(named?: string, environment: NodeJS.ProcessEnv = process.env): AgentConfig {
  const file = named ?? environment['SEALGATE_AGENT_CONFIG'] ?? (existsSync(PLACE) ? PLACE : undefined);
  const bytes = file === undefined ? new Uint8Array() : readInput(file, 'configuration', MAX_CONFIG);
  return readConfig(AGENT_SCHEMA, bytes, environment).config;
}
