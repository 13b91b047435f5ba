import { MAX_ADD_CHECKPOINT, SIZE_CONTENT_TYPE } from '../../audit/index.ts';
import type { WitnessAnswer } from '../../audit/index.ts';
import { Refusal } from '../../base/index.ts';
import { route } from '../route.ts';
import type { Reply, Route } from '../route.ts';

/** This verifier as a witness; the submission prefix is `https://HOST:PORT/witness`. */
export const WITNESS_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/witness/add-checkpoint',
    summary: 'Cosign the checkpoint of another log that only grew (C2SP tlog-witness)',
    // Who asks proves nothing by asking: what counts is the log's own signature.
    access: { who: 'anyone' },
    bytes: MAX_ADD_CHECKPOINT,
    handle: async ({ services, body }) => {
      try {
        return reply(await services.witness.answer(body instanceof Uint8Array ? body : new Uint8Array()));
      } catch (error) {
        if (!(error instanceof Refusal) || error.check !== 'malformed') throw error;
        return text(400, `${error.reason}\n`);
      }
    },
  }),
];

function reply(answer: WitnessAnswer): Reply {
  switch (answer.status) {
    case 200:
      return text(200, answer.body);
    case 409:
      return { status: 409, type: SIZE_CONTENT_TYPE, data: answer.body };
    default:
      return text(answer.status, `${answer.reason}\n`);
  }
}

const text = (status: number, data: string): Reply => ({ status, type: 'text/plain; charset=utf-8', data });
