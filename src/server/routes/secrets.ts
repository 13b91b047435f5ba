import { Type } from '../../config/index.ts';
import { requireNotForbidden } from '../administer.ts';
import { requireCommitted } from '../committed.ts';
import { operatorOf, route } from '../route.ts';
import type { Route } from '../route.ts';
import { MAX_SECRET, SECRET_NAME, listSecrets, putSecret, removeSecret } from '../secrets.ts';

const closed = { additionalProperties: false } as const;
const NAME = Type.String({ pattern: SECRET_NAME });
const PUT = Type.Object(
  {
    name: NAME,
    value: Type.String({
      minLength: 1,
      maxLength: Math.ceil((4 * MAX_SECRET) / 3),
      description: 'base64url without padding',
    }),
  },
  closed,
);
const PAGE = Type.Object({ after: Type.Optional(NAME) }, closed);
const PAGE_SIZE = 100;

/** Secrets go in and never come out here: only a release to an attested host decrypts them. */
export const SECRET_ROUTES: readonly Route[] = [
  route({
    method: 'POST',
    url: '/v1/secrets',
    summary: 'Store a secret, or a new version of it',
    access: { who: 'operator', role: 'secrets' },
    body: PUT,
    handle: async (call) => {
      const { services, body, now } = call;
      const { records, ledger, governance, random } = services;
      const target = { kind: 'secret', id: body.name };
      const known = (await records.get(target)) !== undefined;
      await requireNotForbidden(call, known ? 'RotateSecret' : 'PutSecret', target);
      const order = { ...body, by: operatorOf(call).operator, now };
      const { change, facts } = await putSecret(records, order, governance.secretsKey, random);
      const { auditIndex = null } = requireCommitted(await ledger.commit(change));
      return { status: 201, json: { ...facts, auditIndex } };
    },
  }),
  route({
    method: 'GET',
    url: '/v1/secrets',
    summary: 'Names, versions and times of secrets; never values',
    access: { who: 'operator', role: 'secrets' },
    query: PAGE,
    handle: async ({ services, query: { after } }) => {
      const options = { limit: PAGE_SIZE, ...(after === undefined ? {} : { after }) };
      const secrets = await listSecrets(services.records, options);
      const next = secrets.length === PAGE_SIZE ? (secrets.at(-1)?.name ?? null) : null;
      return { status: 200, json: { secrets: secrets.map((facts) => ({ ...facts })), next } };
    },
  }),
  route({
    method: 'POST',
    url: '/v1/secrets/:name/remove',
    summary: 'Remove a secret’s value',
    access: { who: 'operator', role: 'secrets' },
    params: Type.Object({ name: NAME }, closed),
    handle: async (call) => {
      const { services, params, now } = call;
      await requireNotForbidden(call, 'RemoveSecret', { kind: 'secret', id: params.name });
      const order = { name: params.name, by: operatorOf(call).operator, now };
      const { change, facts } = await removeSecret(services.records, order);
      const { auditIndex = null } = requireCommitted(await services.ledger.commit(change));
      return { status: 200, json: { ...facts, auditIndex } };
    },
  }),
];
