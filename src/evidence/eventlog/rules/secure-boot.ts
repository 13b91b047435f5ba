import { Reader, Refusal } from '../../../base/index.ts';
import { GUID } from '../efi/guid.ts';
import { parseSignatureLists } from '../efi/signature-list.ts';
import type { SignatureDatabase } from '../efi/signature-list.ts';
import { bootLoaderText } from '../efi/text.ts';
import { parseVariable } from '../efi/variable.ts';
import type { EfiVariable } from '../efi/variable.ts';
import { EV } from '../event-types.ts';
import type { EventLogFacts, SignatureDatabaseFacts } from '../facts.ts';
import { hexDigest } from '../fast-hash.ts';
import type { LogEvent } from '../log.ts';
import { ACTION, isAction } from './actions.ts';
import { authorityFacts, isShimState } from './authorities.ts';
import type { RuleContext } from './context.ts';
import { isSeparator } from './separators.ts';

/** f6: configuration variables and the only GUID under which each has its meaning. */
const RESERVED: Readonly<Record<string, string>> = {
  SecureBoot: GUID.EFI_GLOBAL_VARIABLE,
  PK: GUID.EFI_GLOBAL_VARIABLE,
  KEK: GUID.EFI_GLOBAL_VARIABLE,
  db: GUID.EFI_IMAGE_SECURITY_DATABASE,
  dbx: GUID.EFI_IMAGE_SECURITY_DATABASE,
};
type DatabaseName = 'PK' | 'KEK' | 'db' | 'dbx';
/** Configuration that is never the reason why an image may run. */
const NEVER_AUTHORITY = new Set(['SecureBoot', 'PK', 'KEK', 'dbx']);

/** A variable of PCR 7 with the event that proves it. */
export interface MeasuredVariable {
  readonly event: LogEvent;
  readonly variable: EfiVariable;
}

interface Pcr7 {
  readonly configuration: ReadonlyMap<string, MeasuredVariable>;
  readonly authorities: readonly MeasuredVariable[];
}

/**
 * PCR 7: secure boot (f6, f7, f12). Every event must be proven: what can't be read could be the event that matters.
 * Configuration comes before the separator, once each, under its own GUID; "on" needs PK, KEK, db and an authority;
 * a UEFI debugger breaks the rule. `enforced` additionally asks shim's MokSBState.
 */
export function secureBootFacts(context: RuleContext): EventLogFacts {
  const { configuration, authorities } = collect(context);
  const databases = readDatabases(context, configuration);
  const enabled = isEnabled(context, configuration, authorities, databases);
  const facts: EventLogFacts = {
    authorities: authorities.map(({ variable }) => authorityFacts(variable)),
    uefiDebugMode: false,
    dmaProtectionDisabled: context
      .events(7)
      .some((e) => isAction(context, e, ACTION.DMA_PROTECTION_DISABLED)),
    ...sbatLevel(authorities),
  };
  if (enabled === undefined) return facts;
  return {
    ...facts,
    secureBoot: { enabled, enforced: enabled && !validationSwitchedOff(context, authorities) },
    ...(databases.PK && { platformKey: databaseFacts(databases.PK) }),
    ...(databases.KEK && { keyExchangeKeys: databaseFacts(databases.KEK) }),
    ...(databases.db && { db: databaseFacts(databases.db) }),
    ...(databases.dbx && { dbx: databaseFacts(databases.dbx) }),
  };
}

function collect(context: RuleContext): Pcr7 {
  const configuration = new Map<string, MeasuredVariable>();
  const authorities: MeasuredVariable[] = [];
  let separated = false;
  for (const event of context.events(7)) {
    if (isSeparator(context, event)) separated = true;
    else if (event.type === EV.EFI_VARIABLE_DRIVER_CONFIG)
      addConfiguration(context, event, separated, configuration);
    else if (event.type === EV.EFI_VARIABLE_AUTHORITY) {
      const variable = proveAuthority(context, event, separated);
      if (variable !== undefined) authorities.push({ event, variable });
    } else if (isAction(context, event, ACTION.DEBUG_MODE)) {
      context.problem(event, 'f6', 'a UEFI debugger was active');
    } else {
      checkOther(context, event);
    }
  }
  return { configuration, authorities };
}

/** EFI actions, and the SPDM events of devices: variables too, but never ones that a rule here asks for. */
function checkOther(context: RuleContext, event: LogEvent): void {
  const variable = parseVariable(event.data);
  if (!context.isTied(event)) context.problem(event, 'f2', 'data in PCR 7 that is not what was measured');
  else if (variable !== undefined && Object.values<string>(GUID).includes(variable.guid))
    context.problem(event, 'f4', 'a variable under another event type');
}

function addConfiguration(
  context: RuleContext,
  event: LogEvent,
  separated: boolean,
  configuration: Map<string, MeasuredVariable>,
): void {
  const variable = parseVariable(event.data);
  if (!context.isTied(event)) {
    context.problem(event, 'f2', 'a secure boot variable whose data is not what was measured');
  } else if (variable?.trailing !== 0) {
    context.problem(event, 'f6', 'not a UEFI variable');
  } else {
    const { guid, name } = variable;
    const key = `${guid} ${name}`;
    if (separated) context.problem(event, 'f6', `${name} was measured after the separator`);
    if (configuration.has(key)) context.problem(event, 'f6', `${name} was measured twice`);
    if (Object.hasOwn(RESERVED, name) && RESERVED[name] !== guid)
      context.problem(event, 'f6', `${name} under the GUID ${guid}`);
    configuration.set(key, { event, variable });
  }
}

/** f2: an authority is hashed whole; shim before 15.3 logged one byte more than it hashed. */
function proveAuthority(context: RuleContext, event: LogEvent, separated: boolean): EfiVariable | undefined {
  const { data } = event;
  const old =
    !context.isTied(event) &&
    data.length > 0 &&
    context.tieBy('old-shim-authority', event, new Reader(data, 'event').bytes(data.length - 1));
  if (!context.isTied(event)) {
    context.problem(event, 'f2', 'an authority whose data is not what was measured');
    return undefined;
  }
  const variable = parseVariable(data);
  if (variable === undefined || (variable.trailing !== 0 && !old)) {
    context.problem(event, 'f6', 'an authority that is not a UEFI variable');
    return undefined;
  }
  const { guid, name, value } = variable;
  const reserved = NEVER_AUTHORITY.has(name) && RESERVED[name] === guid;
  // Configuration under the type of an authority would vanish from the configuration.
  if (reserved || (!separated && RESERVED[name] === guid && isSignatureList(value)))
    context.problem(event, 'f6', `${name} is configuration, not an authority`);
  return variable;
}

function isSignatureList(value: Uint8Array): boolean {
  try {
    parseSignatureLists(value);
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function readDatabases(
  context: RuleContext,
  configuration: ReadonlyMap<string, MeasuredVariable>,
): Partial<Record<DatabaseName, SignatureDatabase>> {
  const out: Partial<Record<DatabaseName, SignatureDatabase>> = {};
  for (const name of ['PK', 'KEK', 'db', 'dbx'] as const) {
    const measured = lookUp(configuration, name);
    if (measured === undefined) continue;
    try {
      out[name] = parseSignatureLists(measured.variable.value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      context.problem(measured.event, 'f7', `${name}: ${error.reason}`);
    }
  }
  return out;
}

/** Undefined where PCR 7 has no configuration at all (firmware without secure boot) or breaks f6. */
function isEnabled(
  context: RuleContext,
  configuration: ReadonlyMap<string, MeasuredVariable>,
  authorities: readonly MeasuredVariable[],
  databases: Partial<Record<DatabaseName, SignatureDatabase>>,
): boolean | undefined {
  const measured = lookUp(configuration, 'SecureBoot');
  if (measured === undefined) {
    const [first] = [...configuration.values(), ...authorities];
    if (first !== undefined) context.problem(first.event, 'f6', 'no SecureBoot variable was measured');
    return undefined;
  }
  const { event, variable } = measured;
  const [value] = variable.value;
  if (value === undefined && context.allows('empty-secure-boot-variable')) return false;
  if (variable.value.length !== 1 || (value !== 0 && value !== 1)) {
    context.problem(
      event,
      'f6',
      `SecureBoot of ${String(variable.value.length)} bytes, not 0 or 1 in one byte`,
    );
    return undefined;
  }
  if (value === 0) return false;
  for (const name of ['PK', 'KEK', 'db'] as const) {
    if (isEmpty(databases[name])) context.problem(event, 'f6', `secure boot is on without ${name}`);
  }
  if (authorities.every(({ variable: authority }) => isShimState(authority)))
    context.problem(event, 'f6', 'secure boot is on, but no authority allowed anything to run');
  return true;
}

/** f12: SecureBoot = 1 doesn't prove that shim checked anything: MokSBState in PCR 7 or 14 may say otherwise. */
function validationSwitchedOff(context: RuleContext, authorities: readonly MeasuredVariable[]): boolean {
  const inPcr7 = authorities.some(
    ({ variable: { guid, name, value } }) =>
      guid === GUID.SHIM_LOCK && name === 'MokSBState' && !(value.length === 1 && value[0] === 0),
  );
  // The label in PCR 14 is covered by nothing, so it is believed only when it makes things worse.
  const inPcr14 = context
    .events(14)
    .some((event) => bootLoaderText(event.data).startsWith('MokSBState') && !context.matches(event, '\0'));
  return inPcr7 || inPcr14;
}

function sbatLevel(authorities: readonly MeasuredVariable[]): EventLogFacts {
  const found = authorities.find(
    ({ variable: { guid, name } }) => guid === GUID.SHIM_LOCK && name === 'SbatLevel',
  );
  return found === undefined ? {} : { sbatLevel: bootLoaderText(found.variable.value).replace(/\0+$/, '') };
}

function lookUp(
  configuration: ReadonlyMap<string, MeasuredVariable>,
  name: string,
): MeasuredVariable | undefined {
  return configuration.get(`${RESERVED[name] ?? ''} ${name}`);
}

function isEmpty(database: SignatureDatabase | undefined): boolean {
  return (
    database === undefined ||
    database.certificates.length + database.hashes.length + database.others.length === 0
  );
}

function databaseFacts({ certificates, hashes, others }: SignatureDatabase): SignatureDatabaseFacts {
  return {
    certificates: certificates.map(({ owner, data }) => ({ sha256: hexDigest('sha256', data), owner })),
    hashes: hashes.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.length).toString('hex')),
    others: others.length,
  };
}
