import { Reader, concat } from '../src/base/index.ts';
import { readTimeInfo } from '../src/tpm/clock-info.ts';
import type { TimeInfo } from '../src/tpm/clock-info.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';
import { ESYS_TR } from './esys-types.ts';
import { sized, unsizedOf } from './wire.ts';

/** The hierarchies and the lockout authority: entities whose authValue can be set. */
export const HIERARCHY = {
  owner: ESYS_TR.OWNER,
  endorsement: ESYS_TR.ENDORSEMENT,
  platform: ESYS_TR.PLATFORM,
  lockout: ESYS_TR.LOCKOUT,
  null: ESYS_TR.NULL,
} as const;

export type Hierarchy = keyof typeof HIERARCHY;

/** TPM_SU (TPM 2.0 Part 2 §6.10). */
export const STARTUP = { clear: 0, state: 1 } as const;
export type StartupType = keyof typeof STARTUP;

/** TPM2_Startup; needed only without firmware, on an emulator. Started already is not an error. */
export async function startup(caller: Caller, type: StartupType): Promise<void> {
  await caller.command('Startup', { in: [STARTUP[type]] });
}

/** TPM2_Shutdown. */
export async function shutdown(caller: Caller, type: StartupType): Promise<void> {
  await caller.command('Shutdown', { in: [STARTUP[type]] });
}

/** TPM2_GetRandom as often as needed: a TPM gives at most a digest's size at once. */
export async function getRandom(caller: Caller, length: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let left = length; left > 0;) {
    const most = Math.min(left, 32);
    const [wire] = await caller.command('GetRandom', { in: [most] });
    const part = unsizedOf('TPM2B_DIGEST', wire, 1, most);
    parts.push(part);
    left -= part.length;
  }
  return concat(parts);
}

/** TPM2_ReadClock. */
export async function readClock(caller: Caller): Promise<TimeInfo> {
  const [wire] = await caller.command('ReadClock', { in: [] });
  const reader = new Reader(wire, 'TPMS_TIME_INFO');
  const info = readTimeInfo(reader);
  reader.end();
  return info;
}

/** Tells ESAPI a hierarchy's authValue; nothing is sent. */
export async function setHierarchyAuth(
  caller: Caller,
  hierarchy: Hierarchy,
  value: Uint8Array,
): Promise<void> {
  await caller.connection.setAuth(HIERARCHY[hierarchy], sized(value));
}

/** TPM2_HierarchyChangeAuth: the hierarchy's new authValue, which this connection then also uses. */
export async function hierarchyChangeAuth(
  caller: Caller,
  hierarchy: Hierarchy,
  value: Uint8Array,
  authorization: Authorization = {},
): Promise<void> {
  await caller.command('HierarchyChangeAuth', {
    handles: [HIERARCHY[hierarchy]],
    sessions: sessionsOf(1, authorization),
    in: [sized(value)],
  });
  await setHierarchyAuth(caller, hierarchy, value);
}

/** TPM2_Clear by the platform or the lockout authority: a new storage seed; owner, endorsement and lockout auth empty. */
export async function clear(
  caller: Caller,
  by: 'platform' | 'lockout',
  authorization: Authorization = {},
): Promise<void> {
  await caller.command('Clear', { handles: [HIERARCHY[by]], sessions: sessionsOf(1, authorization), in: [] });
}

/** TPM2_DictionaryAttackLockReset: ends a lockout. */
export async function dictionaryAttackLockReset(
  caller: Caller,
  authorization: Authorization = {},
): Promise<void> {
  await caller.command('DictionaryAttackLockReset', {
    handles: [ESYS_TR.LOCKOUT],
    sessions: sessionsOf(1, authorization),
    in: [],
  });
}

/** How a TPM defends auth values (TPM 2.0 Part 1 §19.8). */
export interface DictionaryAttackPolicy {
  readonly maxTries: number;
  /** Seconds until one failure is forgotten. */
  readonly recoveryTime: number;
  /** Seconds until lockout auth may be tried again after a failure. */
  readonly lockoutRecovery: number;
}

/** TPM2_DictionaryAttackParameters. */
export async function dictionaryAttackParameters(
  caller: Caller,
  policy: DictionaryAttackPolicy,
  authorization: Authorization = {},
): Promise<void> {
  await caller.command('DictionaryAttackParameters', {
    handles: [ESYS_TR.LOCKOUT],
    sessions: sessionsOf(1, authorization),
    in: [policy.maxTries, policy.recoveryTime, policy.lockoutRecovery],
  });
}
