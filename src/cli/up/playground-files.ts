import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { planInstallation, writeInstallation } from '../../config/index.ts';
import { commonAuthority } from '../../testing/index.ts';
import type { CaCertificates } from '../../testing/index.ts';
import { EMPTY_TRUST_STORE, addToStore, formatTrustStore, parseCertificate } from '../../x509/index.ts';
import { systemClock } from '../clock.ts';
import { systemRandom } from '../random.ts';
import { freePort } from './verifier-process.ts';

export const TRUST_DOMAIN = 'playground.test';
export const OPERATOR = 'operator';

/** What a client of the verifier knows of it. */
export interface Pins {
  readonly url: string;
  readonly caFingerprint: string;
  readonly logKey: string;
}

/** Where everything of a playground is. */
export interface PlaygroundFiles {
  readonly directory: string;
  /** Of the verifier: `sealgate.yaml`, keys, store. */
  readonly verifier: string;
  readonly config: string;
  readonly profile: string;
  /** State directory of the host. */
  readonly host: string;
  readonly eventLog: string;
  readonly artifact: string;
}

/** @param directory private to this playground */
export function filesBelow(directory: string): PlaygroundFiles {
  const at = (...names: string[]): string => path.join(directory, ...names);
  return {
    directory,
    verifier: at('verifier'),
    config: at('verifier', 'sealgate.yaml'),
    profile: at('verifier', 'operators', `${OPERATOR}.yaml`),
    host: at('host'),
    eventLog: at('eventlog.bin'),
    artifact: at('artifacts', 'report'),
  };
}

/** `sealgate init`, and the TPM maker’s root among those that the operator trusts. */
export async function initialize(files: PlaygroundFiles): Promise<Pins> {
  const url = `https://localhost:${String(await freePort())}`;
  const {
    caFingerprint,
    logKey,
    files: written,
  } = planInstallation(
    {
      trustDomain: TRUST_DOMAIN,
      url,
      origin: `${TRUST_DOMAIN}/log`,
      operator: OPERATOR,
      now: systemClock.now(),
    },
    systemRandom,
  );
  writeInstallation(files.verifier, written);
  trustMaker(path.join(files.verifier, 'trust.json'), await commonAuthority());
  return { url, caFingerprint, logKey };
}

/** `sealgate trust add`: the CA that certified the emulated TPM's EK. */
function trustMaker(file: string, { root, issuer }: CaCertificates): void {
  const entry = (role: 'anchor' | 'intermediate', der: Uint8Array) =>
    ({ purpose: 'ek', role, vendor: undefined, certificate: parseCertificate(der) }) as const;
  const store = addToStore(
    addToStore(EMPTY_TRUST_STORE, entry('anchor', root)),
    entry('intermediate', issuer),
  );
  writeFileSync(file, formatTrustStore(store), { mode: 0o600 });
}
