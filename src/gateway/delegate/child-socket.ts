import path from 'node:path';
import { LocalSocket } from '../../agent/socket/server.ts';
import type { Conversation } from '../../agent/socket/conversation.ts';
import type { LocalCaller, RunEnd, RunStreams } from '../../agent/runner-port.ts';
import { MAX_DEPTH, scopesCovered } from '../../authorization/index.ts';
import type { AuthorizationClaims } from '../../authorization/index.ts';
import { Refusal, fromHex, isJsonObject, refuse, shape } from '../../base/index.ts';
import type { JsonObject, Shape } from '../../base/index.ts';
import type { Execution } from '../execution.ts';
import type { ParentHolder } from './parent-holder.ts';
import { parseRunOrder } from '../run-order.ts';
import type { RunOrder, RunUser } from '../run-order.ts';

/** Beside the credentials: only the execution's user gets there, and all of it is removed at the end. */
const SOCKET_NAME = '_child.sock';

/** What sun_path holds, without its NUL. */
const MAX_SOCKET_PATH = 107;

/** Callers at one time; each run of a child keeps one. */
const MAX_CALLERS = 64;

/**
 * Where an execution's child socket is: known before anything is asked, since the request's environment names it.
 * @throws Refusal `credentials-place` when the path is longer than a socket's may be
 */
export function childSocketPath(credentialsDirectory: string): string {
  const file = path.join(credentialsDirectory, SOCKET_NAME);
  if (Buffer.byteLength(file) > MAX_SOCKET_PATH)
    refuse('credentials-place', 'the credentials’ path is too long for a socket in it', { path: file });
  return file;
}

/** True when an authorization lets its holder start others: some are left to count, and a level below it. */
export function mayStartOthers({
  authorization_details,
  del_depth,
  del_max_depth,
}: AuthorizationClaims): boolean {
  const [{ constraints }] = authorization_details;
  return constraints.children !== 0 && del_depth < Math.min(del_max_depth, MAX_DEPTH);
}

/** What a child socket belongs to and does. */
export interface ChildSocketOptions {
  /** From {@link childSocketPath}. */
  readonly path: string;
  /** The execution's user: nobody else is answered, root neither. */
  readonly user: RunUser;
  /** Runs one child of the execution to its end. */
  readonly run: (
    order: RunOrder,
    parent: ParentHolder,
    caller: LocalCaller,
    streams: RunStreams,
  ) => Promise<RunEnd>;
}

/** Who is asked, and by what its children are run. */
interface Asked extends Pick<ChildSocketOptions, 'run'> {
  readonly execution: Execution;
}

const anyObject: Shape<JsonObject> = (value, at, fail) =>
  isJsonObject(value) ? value : fail(at, 'an object');
const { hex32, list, literal, object, oneOf, text } = shape;
const word = text({ max: 1024 });
const requestShape = object(
  { v: literal(1), op: oneOf('run', 'status', 'prove') },
  { order: anyObject, aud: word, nonce: word, requestDigest: hex32, scopes: list(text({ max: 256 }), 64) },
);

/**
 * The private socket of one execution (docs/PROTOCOL.md, "Child socket"): by it what runs asks for children of its own.
 * The parent is never what is sent: it is the execution that the socket was made for.
 */
export class ChildSocket {
  readonly #options: ChildSocketOptions;
  readonly #running = new Set<Promise<unknown>>();
  readonly #execution: Promise<Execution>;
  #begun: (execution: Execution) => void = () => undefined;
  #never: (error: Refusal) => void = () => undefined;
  #socket: LocalSocket | undefined;

  private constructor(options: ChildSocketOptions) {
    this.#options = options;
    this.#execution = new Promise<Execution>((resolve, reject) => {
      this.#begun = resolve;
      this.#never = reject;
    });
    // Whether anybody asks or not, an execution that doesn't start is no crash.
    this.#execution.catch(() => undefined);
  }

  /** Listens, before the execution runs: its first step may be to ask. @throws Refusal `local-socket` */
  static async listen(options: ChildSocketOptions): Promise<ChildSocket> {
    const own = new ChildSocket(options);
    const { uid, gid } = options.user;
    own.#socket = await LocalSocket.listen(
      {
        path: options.path,
        mode: 0o600,
        uids: new Set([uid]),
        onlyThose: true,
        owner: { uid, gid },
        maxConnections: MAX_CALLERS,
      },
      (conversation, caller) => own.#answer(conversation, caller),
    );
    return own;
  }

  /** The execution runs: from now on it is answered. */
  serve(execution: Execution): void {
    this.#begun(execution);
  }

  /** Takes no more callers; when it returns, every child has ended and been cleaned up after. */
  async close(): Promise<void> {
    this.#never(new Refusal('parent-ended', 'the execution did not start'));
    await this.#socket?.close(0);
    await Promise.allSettled(this.#running);
  }

  async #answer(conversation: Conversation, caller: LocalCaller): Promise<void> {
    const answer = this.#execution.then((execution) =>
      answerOne(conversation, caller, { execution, run: this.#options.run }),
    );
    this.#running.add(answer);
    try {
      conversation.end(await answer);
    } finally {
      this.#running.delete(answer);
    }
  }
}

async function answerOne(
  conversation: Conversation,
  caller: LocalCaller,
  { execution, run }: Asked,
): Promise<JsonObject> {
  const request = requestShape(await conversation.request(), 'request', (at, want) =>
    refuse('local-frame', `${at} is not ${want}`),
  );
  const { op, order, aud, nonce, requestDigest, scopes } = request;
  if (op === 'status') return statusOf(execution);
  if (op === 'run') {
    if (order === undefined) return refuse('local-frame', 'a run without an order');
    return await runChild(conversation, caller, childOrder(order), { execution, run });
  }
  if (aud === undefined || nonce === undefined || requestDigest === undefined)
    return refuse('local-frame', 'a proof is for an audience, a nonce and a request');
  return await prove(execution, { aud, nonce, requestDigest, scopes });
}

function statusOf(execution: Execution): JsonObject {
  const { claims, credentials } = execution;
  const [{ scopes, constraints }] = claims.authorization_details;
  return {
    v: 1,
    executionId: claims.client_id,
    authorization: execution.authorization,
    expires: new Date(claims.exp * 1000).toISOString(),
    trustDomain: claims.gov.trust_domain,
    origin: claims.sub,
    scopes: [...scopes],
    credentials: [...credentials],
    constraints: { ...constraints },
    depth: claims.del_depth,
    maxDepth: claims.del_max_depth,
  };
}

/** @throws Refusal `scope_not_granted` for scopes that the execution doesn't have itself */
async function prove(
  execution: Execution,
  question: { aud: string; nonce: string; requestDigest: string; scopes: readonly string[] | undefined },
): Promise<JsonObject> {
  const { aud, nonce, requestDigest, scopes = [] } = question;
  if (!scopesCovered(execution.claims.authorization_details[0].scopes, scopes))
    refuse('scope_not_granted', 'the execution’s own authorization does not cover these scopes', {
      asked: [...scopes],
    });
  // Of the same moment as the proof: a renewal must not come between them.
  const { authorization } = execution;
  const binding = { audience: aud, nonce, requestDigest: fromHex(requestDigest) };
  return { v: 1, proof: await execution.prove(binding), authorization };
}

const holderOf = (execution: Execution): ParentHolder => ({
  authorization: () => execution.authorization,
  prove: (binding) => execution.prove(binding),
  elsewhere: false,
});

/** Devices and processes are the child’s own there: what such a path names here is something else. */
const ELSEWHERE = /^\/(?:dev|proc)(?:\/|$)/;

/** @throws Refusal `run-order` */
function childOrder(value: JsonObject): RunOrder {
  const order = parseRunOrder(value);
  const { parent, initiator, artifact, cwd } = order;
  if (parent !== null || initiator !== null)
    refuse('run-order', 'of a child nobody names parent or initiator: they are its parent’s', {
      member: parent === null ? 'order.initiator' : 'order.parent',
    });
  for (const [member, file] of Object.entries({ artifact, cwd })) {
    if (ELSEWHERE.test(path.resolve(file)))
      refuse('run-order', `order.${member} is a path that is the execution’s own`, { member });
  }
  return order;
}

async function runChild(
  conversation: Conversation,
  caller: LocalCaller,
  order: RunOrder,
  { execution, run }: Asked,
): Promise<JsonObject> {
  // Whichever comes first ends the child: its caller is gone, or its parent ends.
  const { status, signal, denial, report } = await run(order, holderOf(execution), caller, {
    stdin: conversation.stdin,
    stdout: conversation.output('stdout'),
    stderr: conversation.output('stderr'),
    onSignal: (listener) => {
      conversation.onSignal(listener);
    },
    event: (event) => {
      conversation.event(event);
    },
    signal: AbortSignal.any([execution.over, conversation.gone]),
  });
  return { v: 1, status, signal, denied: denial, report };
}
