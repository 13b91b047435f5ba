import path from 'node:path';
import { format, resolveConfig } from 'prettier';
import { AGENT_SCHEMA, PROFILE_SCHEMA, VERIFIER_SCHEMA, referencePage } from '../../src/config/index.ts';

/** docs/CONFIG.md as it has to be, formatted like every other page. */
export async function configReference(): Promise<string> {
  const text = referencePage([
    {
      title: 'Verifier: sealgate.yaml',
      text: 'Read by `serve`, `config` and `store`: `--config FILE`, else `$SEALGATE_CONFIG`, else `sealgate.yaml`, `sealgate/sealgate.yaml` or `/etc/sealgate/sealgate.yaml`.',
      schema: VERIFIER_SCHEMA,
    },
    {
      title: 'Agent: agent.yaml',
      text: 'Read by `agent` on a host: `--config FILE`, else `$SEALGATE_AGENT_CONFIG`, else `/etc/sealgate/agent.yaml`; without a file the defaults hold.',
      schema: AGENT_SCHEMA,
    },
    {
      title: 'Profile: how to reach a verifier',
      text: 'Named by `--profile NAME` (`NAME.yaml` in `$SEALGATE_PROFILES`, `./operators` or `~/.config/sealgate/profiles`) or by a path. Its environment variables are not read: a profile is one thing.',
      schema: PROFILE_SCHEMA,
    },
  ]);
  const page = path.resolve(import.meta.dirname, '../../docs/CONFIG.md');
  return await format(text, { ...(await resolveConfig(page)), parser: 'markdown' });
}
