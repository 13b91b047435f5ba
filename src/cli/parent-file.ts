import { askAgent } from '../agent/index.ts';
import type { HolderAnswer, ProofQuestion } from '../client/index.ts';
import { fromBase64url, fromUtf8, parseJsonObject, refuse, shape, utf8 } from '../base/index.ts';
import { parseClaims } from '../authorization/index.ts';
import type { RunOrder } from '../gateway/index.ts';
import { readInput } from './input.ts';
import { readToken } from './run-command.ts';

/** The execution that starts another one, as `sealgate run --parent` names it. */
export interface NamedParent {
  readonly order: Pick<RunOrder, 'parent' | 'parentKey'>;
  /** Has it proved, where its key is not here. */
  readonly prove?: (question: ProofQuestion) => Promise<HolderAnswer>;
}

const token = shape.text({
  max: 16_384,
  pattern: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/,
  want: 'a compact JWS',
});
const fileShape = shape.object({
  v: shape.literal(1),
  authorization: token,
  socket: shape.text({ max: 107, pattern: /^\/[^\0]*$/, want: 'an absolute path' }),
});
const provedShape = shape.object({ v: shape.literal(1), proof: token, authorization: token });

/**
 * Reads `--parent FILE`: a token with its key beside it (`X.jwt`, `X.key`), or JSON `{ v: 1, authorization, socket }`,
 * whose socket is the parent's child socket: it gives the current authorization and makes the proof. It is asked by this
 * process, with its user's rights: no agent opens a path because somebody names it.
 * @throws UsageError; Refusal `malformed`, `parent-proof`, `agent-unreachable`
 */
export async function readParent(file: string): Promise<NamedParent> {
  const text = fromUtf8(readInput(file, 'parent', 64 * 1024), 'parent').trim();
  if (!text.startsWith('{')) {
    const { token: parent, key: parentKey } = readToken(file);
    return { order: { parent, parentKey } };
  }
  const limits = { maxBytes: 64 * 1024, maxDepth: 2 };
  const { authorization, socket } = fileShape(
    parseJsonObject(utf8(text), 'parent', limits),
    'parent',
    (at, want) => refuse('malformed', `${at} is not ${want}`),
  );
  const parent = await currentAuthorization(authorization, socket);
  return {
    order: { parent, parentKey: null },
    prove: async ({ aud, nonce, requestDigest }) => {
      const answer = await askAgent(socket, { v: 1, op: 'prove', aud, nonce, requestDigest });
      return provedShape(answer, 'proof', (at, want) =>
        refuse('parent-proof', `${at} of the parent’s socket is not ${want}`),
      );
    },
  };
}

/** A renewal may have replaced the one of the file; another execution's is none. @throws Refusal `parent-proof` */
async function currentAuthorization(named: string, socket: string): Promise<string> {
  const { executionId, authorization } = await askAgent(socket, { v: 1, op: 'status' });
  const { client_id } = parseClaims(fromBase64url(named.split('.')[1] ?? '', 'parent'));
  if (executionId !== client_id)
    refuse('parent-proof', 'the socket is not that of the execution that the file’s authorization is of', {
      file: client_id,
    });
  return token(authorization ?? null, 'authorization', (at, want) =>
    refuse('parent-proof', `${at} of the parent’s socket is not ${want}`),
  );
}
