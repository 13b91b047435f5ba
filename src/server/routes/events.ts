import { refuse } from '../../base/index.ts';
import { Type } from '../../config/index.ts';
import { agentOf } from '../agent-call.ts';
import { route } from '../route.ts';
import type { Route } from '../route.ts';

const closed = { additionalProperties: false } as const;
const HOST_ID = Type.Object({ hostId: Type.String({ pattern: '^[0-9a-f]{64}$' }) }, closed);
/** Of the log's size at the most. */
const EVENT_ID = /^(?:0|[1-9][0-9]{0,18})$/;

/** What a host is told without having asked. */
export const EVENT_ROUTES: readonly Route[] = [
  route({
    method: 'GET',
    url: '/v1/hosts/:hostId/events',
    summary: 'Server-sent events of a host: executions that were revoked there; resumed by Last-Event-ID',
    access: { who: 'agent', standing: 'attestation' },
    params: HOST_ID,
    handle: async (call) => {
      const { services, params, lastEventId } = call;
      const { hostId } = agentOf(call).agent;
      if (hostId !== params.hostId) refuse('caller-host', 'the events are another host’s');
      if (lastEventId !== undefined && !EVENT_ID.test(lastEventId))
        refuse('request-form', 'Last-Event-ID is not the index of a leaf');
      const size = await services.decisions.log.size();
      const after = lastEventId === undefined ? null : BigInt(lastEventId);
      const stream = services.events.open(hostId, after, size);
      return { status: 200, type: 'text/event-stream', stream };
    },
  }),
];
