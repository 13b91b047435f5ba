import { listHosts } from '../client/index.ts';
import type { VerifierClient } from '../client/index.ts';
import { refuseState } from './errors.ts';

/** The id of the host that a person means: an id, the start of one (8 digits or more), or a name. @throws VerifierRefusal `not-found`, `conflict` */
export async function findHost(client: VerifierClient, text: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  const found: string[] = [];
  for await (const { hostId, name } of listHosts(client)) {
    if (name === text) return hostId;
    if (/^[0-9a-f]{8,63}$/.test(text) && hostId.startsWith(text)) found.push(hostId);
  }
  const [only, ...more] = found;
  if (only === undefined)
    refuseState('not-found', `no host is called ${text}`, 'sealgate host ls lists them.');
  if (more.length > 0)
    refuseState(
      'conflict',
      `${String(found.length)} hosts’ ids begin with ${text}`,
      'Give more digits of the id.',
    );
  return only;
}
