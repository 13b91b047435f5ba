import type { StructureName } from './mu.ts';

/** A parameter: a structure in wire form (or null for "not given"), or an integer. */
export type ParameterType = StructureName | 'u8' | 'u16' | 'u32' | 'i32';
/** A result: a structure in wire form, an integer, or an ESYS_TR. */
export type ResultType = StructureName | 'u8' | 'u32' | 'object';

/** One function of ESAPI, `Esys_NAME(context, handles…, sessions…, parameters…, results…)`. */
interface Command {
  /** How many handles come first. */
  readonly handles: number;
  /** False for the few functions without the three session arguments. */
  readonly sessions: boolean;
  readonly in: readonly ParameterType[];
  readonly out: readonly ResultType[];
  /** The first result is a secret: its C memory is overwritten before it is freed. */
  readonly secret?: true;
  /** Works on the context only and sends nothing, so it runs at once, not on the pool. */
  readonly local?: true;
}

const command = <const I extends readonly ParameterType[], const O extends readonly ResultType[]>(
  handles: number,
  parameters: I,
  results: O,
): { handles: number; sessions: true; in: I; out: O } => ({
  handles,
  sessions: true,
  in: parameters,
  out: results,
});

const local = <const I extends readonly ParameterType[], const O extends readonly ResultType[]>(
  handles: number,
  parameters: I,
  results: O,
): { handles: number; sessions: false; in: I; out: O; local: true } => ({
  handles,
  sessions: false,
  in: parameters,
  out: results,
  local: true,
});

const CREATION = ['TPM2B_CREATION_DATA', 'TPM2B_DIGEST', 'TPMT_TK_CREATION'] as const;
const ATTESTED = ['TPM2B_ATTEST', 'TPMT_SIGNATURE'] as const;

/**
 * The commands in use, as TPM 2.0 Part 3 lists them: handles, parameters, results. The C signatures (tss2_esys.h
 * 3.2.1) follow from this table alone.
 */
export const COMMANDS = {
  Startup: { handles: 0, sessions: false, in: ['u16'], out: [] },
  Shutdown: command(0, ['u16'], []),
  GetCapability: command(0, ['u32', 'u32', 'u32'], ['u8', 'TPMS_CAPABILITY_DATA']),
  GetTestResult: command(0, [], ['TPM2B_MAX_BUFFER', 'u32']),
  GetRandom: { ...command(0, ['u16'], ['TPM2B_DIGEST']), secret: true },
  ReadClock: command(0, [], ['TPMS_TIME_INFO']),

  PCR_Read: command(0, ['TPML_PCR_SELECTION'], ['u32', 'TPML_PCR_SELECTION', 'TPML_DIGEST']),
  PCR_Extend: command(1, ['TPML_DIGEST_VALUES'], []),
  PCR_Reset: command(1, [], []),

  NV_ReadPublic: command(1, [], ['TPM2B_NV_PUBLIC', 'TPM2B_NAME']),
  NV_Read: command(2, ['u16', 'u16'], ['TPM2B_MAX_NV_BUFFER']),

  CreatePrimary: command(
    1,
    ['TPM2B_SENSITIVE_CREATE', 'TPM2B_PUBLIC', 'TPM2B_DATA', 'TPML_PCR_SELECTION'],
    ['object', 'TPM2B_PUBLIC', ...CREATION],
  ),
  Create: command(
    1,
    ['TPM2B_SENSITIVE_CREATE', 'TPM2B_PUBLIC', 'TPM2B_DATA', 'TPML_PCR_SELECTION'],
    ['TPM2B_PRIVATE', 'TPM2B_PUBLIC', ...CREATION],
  ),
  Load: command(1, ['TPM2B_PRIVATE', 'TPM2B_PUBLIC'], ['object']),
  LoadExternal: command(0, ['TPM2B_SENSITIVE', 'TPM2B_PUBLIC', 'u32'], ['object']),
  ReadPublic: command(1, [], ['TPM2B_PUBLIC', 'TPM2B_NAME', 'TPM2B_NAME']),
  Import: command(
    1,
    ['TPM2B_DATA', 'TPM2B_PUBLIC', 'TPM2B_PRIVATE', 'TPM2B_ENCRYPTED_SECRET', 'TPMT_SYM_DEF_OBJECT'],
    ['TPM2B_PRIVATE'],
  ),
  FlushContext: { handles: 1, sessions: false, in: [], out: [] },
  EvictControl: command(2, ['u32'], ['object']),
  Unseal: { ...command(1, [], ['TPM2B_SENSITIVE_DATA']), secret: true },
  ActivateCredential: {
    ...command(2, ['TPM2B_ID_OBJECT', 'TPM2B_ENCRYPTED_SECRET'], ['TPM2B_DIGEST']),
    secret: true,
  },

  Quote: command(1, ['TPM2B_DATA', 'TPMT_SIG_SCHEME', 'TPML_PCR_SELECTION'], ATTESTED),
  Certify: command(2, ['TPM2B_DATA', 'TPMT_SIG_SCHEME'], ATTESTED),
  CertifyCreation: command(
    2,
    ['TPM2B_DATA', 'TPM2B_DIGEST', 'TPMT_SIG_SCHEME', 'TPMT_TK_CREATION'],
    ATTESTED,
  ),
  Sign: command(1, ['TPM2B_DIGEST', 'TPMT_SIG_SCHEME', 'TPMT_TK_HASHCHECK'], ['TPMT_SIGNATURE']),
  VerifySignature: command(1, ['TPM2B_DIGEST', 'TPMT_SIGNATURE'], ['TPMT_TK_VERIFIED']),

  StartAuthSession: command(2, ['TPM2B_NONCE', 'u8', 'TPMT_SYM_DEF', 'u16'], ['object']),
  PolicyRestart: command(1, [], []),
  PolicyPCR: command(1, ['TPM2B_DIGEST', 'TPML_PCR_SELECTION'], []),
  PolicyCounterTimer: command(1, ['TPM2B_OPERAND', 'u16', 'u16'], []),
  PolicyCommandCode: command(1, ['u32'], []),
  PolicyOR: command(1, ['TPML_DIGEST'], []),
  PolicyAuthorize: command(1, ['TPM2B_DIGEST', 'TPM2B_NONCE', 'TPM2B_NAME', 'TPMT_TK_VERIFIED'], []),
  PolicyAuthValue: command(1, [], []),
  PolicySecret: command(
    2,
    ['TPM2B_NONCE', 'TPM2B_DIGEST', 'TPM2B_NONCE', 'i32'],
    ['TPM2B_TIMEOUT', 'TPMT_TK_AUTH'],
  ),
  PolicySigned: command(
    2,
    ['TPM2B_NONCE', 'TPM2B_DIGEST', 'TPM2B_NONCE', 'i32', 'TPMT_SIGNATURE'],
    ['TPM2B_TIMEOUT', 'TPMT_TK_AUTH'],
  ),
  PolicyGetDigest: command(1, [], ['TPM2B_DIGEST']),

  Clear: command(1, [], []),
  HierarchyChangeAuth: command(1, ['TPM2B_AUTH'], []),
  DictionaryAttackLockReset: command(1, [], []),
  DictionaryAttackParameters: command(1, ['u32', 'u32', 'u32'], []),

  // ESAPI's own bookkeeping (TSS 2.0 ESAPI §6).
  TR_FromTPMPublic: command(1, [], ['object']),
  TR_GetName: local(1, [], ['TPM2B_NAME']),
  TR_SetAuth: local(1, ['TPM2B_AUTH'], []),
  TRSess_GetNonceTPM: local(1, [], ['TPM2B_NONCE']),
} as const satisfies Readonly<Record<string, Command>>;

export type CommandName = keyof typeof COMMANDS;

type Value<T> = T extends StructureName ? Uint8Array | null : number;
type Values<T extends readonly unknown[]> = { readonly [K in keyof T]: Value<T[K]> };
type GivenAll<T extends readonly unknown[]> = { readonly [K in keyof T]: Given<T[K]> };
type Given<T> = T extends StructureName ? Uint8Array : number;

/** The parameters of a command; `null` where ESAPI takes NULL. */
export type Parameters<N extends CommandName> = Values<(typeof COMMANDS)[N]['in']>;
/** The results of a command. */
export type Results<N extends CommandName> = GivenAll<(typeof COMMANDS)[N]['out']>;

/** The table's row, without its literal types. */
export function commandOf(name: CommandName): Command {
  return COMMANDS[name];
}
