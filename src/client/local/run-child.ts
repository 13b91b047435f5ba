import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { SignatureEnvelope, SignatureFormat } from '../../artifact/index.ts';
import { isJsonObject, refuse, toBase64url } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { askAgent } from './ask-agent.ts';
import type { HolderAnswer, LocalStreams, ProofQuestion } from './ask-agent.ts';

/** The variable by which a governed process finds its own child socket. */
export const CHILD_SOCKET_VARIABLE = 'SEALGATE_CHILD_SOCKET';

/** What each format's signature file is called, after the artifact's own name. */
export const SIGNATURE_SUFFIX: Readonly<Record<SignatureFormat, string>> = {
  dsse: '.dsse.json',
  cms: '.p7s',
  ssh: '.sig',
};

/** Signals by which a command may be told that its credentials were renewed: those that ask processes to read again. */
export const RENEW_SIGNALS = ['HUP', 'USR1', 'USR2'] as const;
export type RenewSignal = (typeof RENEW_SIGNALS)[number];

/** A child to start: at most what its parent has, and at most what is named here. */
export interface ChildOrder {
  /** The program, as an absolute path that this host sees too, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** The signed tree that the program is below; left out for a signed file. */
  readonly artifact?: string;
  /** Left out: the files `.dsse.json`, `.p7s` and `.sig` beside the artifact. */
  readonly signatures?: readonly SignatureEnvelope[];
  /** A part of the parent's scopes. */
  readonly scopes?: readonly string[];
  /** A part of the parent's credentials. */
  readonly credentials?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Where it starts; `/` when left out. */
  readonly cwd?: string;
  /** Sent to the program after renewed files were put in its credentials directory; none when left out. */
  readonly onRenew?: RenewSignal;
}

/** How a child ended. */
export interface ChildOutcome {
  /** Its exit status; null when a signal ended it. */
  readonly status: number | null;
  /** `SIGTERM` and the like. */
  readonly signal: string | null;
  /** Why it was ended; null when it ended by itself. */
  readonly denial: JsonObject | null;
  /** Its executionId, its leaf in the log, and what it was given. */
  readonly report: JsonObject;
}

/**
 * Starts a child of the governed execution that this process is, and waits for its end; it ends with its parent, and when
 * `streams.signal` fires.
 * @param socket default: `SEALGATE_CHILD_SOCKET`
 * @throws VerifierRefusal what the verifier denied; Refusal `no-children`, `local-frame`, `run-order`,
 *   `agent-unreachable` and those of the gateway
 */
export async function runChild(
  order: ChildOrder,
  streams: LocalStreams = {},
  socket: string | undefined = process.env[CHILD_SOCKET_VARIABLE],
): Promise<ChildOutcome> {
  const answer = await askAgent(own(socket), { v: 1, op: 'run', order: wireOrder(order) }, streams);
  const { status, signal, denied, report } = answer;
  return {
    status: typeof status === 'number' ? status : null,
    signal: typeof signal === 'string' ? signal : null,
    denial: isJsonObject(denied) ? denied : null,
    report: isJsonObject(report) ? report : {},
  };
}

/**
 * What this execution has itself: `{ executionId, authorization, expires, trustDomain, origin, scopes, credentials,
 * constraints, depth, maxDepth }`, renewals included.
 * @throws Refusal as {@link runChild}
 */
export async function ownExecution(
  socket: string | undefined = process.env[CHILD_SOCKET_VARIABLE],
): Promise<JsonObject> {
  return await askAgent(own(socket), { v: 1, op: 'status' });
}

/**
 * A proof that this execution holds its authorization: for a child on another host (`aud` the trust domain), or for a
 * service that wants one.
 * @returns the proof, and the authorization that it goes with
 * @throws Refusal as {@link runChild}; `scope_not_granted` for scopes that it doesn't have
 */
export async function proveHolder(
  question: ProofQuestion & { readonly scopes?: readonly string[] },
  socket: string | undefined = process.env[CHILD_SOCKET_VARIABLE],
): Promise<HolderAnswer> {
  const { proof, authorization } = await askAgent(own(socket), { v: 1, op: 'prove', ...question });
  if (typeof proof !== 'string' || typeof authorization !== 'string')
    return refuse('local-frame', 'the answer has no proof');
  return { proof, authorization };
}

/** @throws Refusal `no-children` */
function own(socket: string | undefined): string {
  return socket !== undefined && existsSync(socket)
    ? socket
    : refuse('no-children', 'this process has no child socket: it is not governed, or may start no others');
}

/** The order as it is sent: closed, every member there. */
function wireOrder({ command, artifact = command[0], signatures, ...order }: ChildOrder): JsonObject {
  const [program, ...args] = command;
  const { scopes = [], credentials = [], environment = {}, cwd = '/', onRenew } = order;
  return {
    artifact: path.resolve(artifact),
    entry: path.relative(artifact, program),
    args,
    environment: { ...environment },
    cwd,
    scopes: [...scopes],
    credentials: [...credentials],
    signatures: (signatures ?? signaturesBeside(artifact)).map(({ format, bytes }) => ({
      format,
      data: toBase64url(bytes),
    })),
    ...{ initiator: null, initiatorKey: null, parent: null, parentKey: null },
    ...(onRenew === undefined ? {} : { onRenew }),
  };
}

function signaturesBeside(artifact: string): readonly SignatureEnvelope[] {
  const suffixes = Object.entries(SIGNATURE_SUFFIX) as readonly (readonly [SignatureFormat, string])[];
  return suffixes.flatMap(([format, suffix]) => {
    const file = `${path.resolve(artifact)}${suffix}`;
    return existsSync(file) ? [{ format, bytes: new Uint8Array(readFileSync(file)) }] : [];
  });
}
