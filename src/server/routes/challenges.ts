import { Type } from '../../config/index.ts';
import { agentOf } from '../agent-call.ts';
import { answerChallenge } from '../challenge-answer.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';

const REQUEST = Type.Object(
  {
    v: Type.Literal(1),
    purpose: Type.Union([Type.Literal('execution'), Type.Literal('attestation')]),
  },
  { additionalProperties: false },
);

/** Nonces for the agents of enrolled hosts. */
export const CHALLENGE_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/challenges',
    summary: 'A challenge for an execution or a host attestation',
    access: { who: 'agent', standing: 'attestation' },
    body: REQUEST,
    handle: async (call) => {
      const { decisions, trust } = call.services;
      const answer = await answerChallenge(
        call.body.purpose,
        agentOf(call),
        decisions,
        trust.current.version,
      );
      return { status: 201, json: answer };
    },
  }),
];
