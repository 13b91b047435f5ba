import { refuse } from '../base/index.ts';

/** What an operator may do. `admin` is all of it, except approving what its own certificate invited. */
export const ROLES = ['invite', 'approve', 'secrets', 'policy', 'revoke', 'audit', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** An operator as the URI name of its certificate says. */
export interface OperatorId {
  readonly trustDomain: string;
  readonly name: string;
  readonly roles: readonly Role[];
}

const ID =
  /^urn:sealgate:operator:([a-z0-9._-]{1,255}):([a-z0-9][a-z0-9._-]{0,62}):([a-z]+(?:\+[a-z]+){0,6})$/;

/** The URI name: `urn:sealgate:operator:DOMAIN:NAME:ROLE+ROLE`. @throws Refusal `operator-id` */
export function formatOperatorId({ trustDomain, name, roles }: OperatorId): string {
  const text = `urn:sealgate:operator:${trustDomain}:${name}:${roles.join('+')}`;
  parseOperatorId(text);
  return text;
}

/** Reads it strictly: known roles, each once, at least one. @throws Refusal `operator-id` */
export function parseOperatorId(text: string): OperatorId {
  const [, trustDomain, name, list] = ID.exec(text) ?? [];
  if (trustDomain === undefined || name === undefined || list === undefined)
    return refuse('operator-id', 'not the name of an operator', { id: text.slice(0, 512) });
  const names = list.split('+');
  const roles = ROLES.filter((role) => names.includes(role));
  if (roles.length !== names.length)
    refuse('operator-id', 'an unknown or repeated role', { roles: names, known: [...ROLES] });
  return { trustDomain, name, roles };
}

/** Whether somebody with these roles may do what needs `role`. */
export function hasRole(roles: readonly Role[], role: Role): boolean {
  return roles.includes(role) || roles.includes('admin');
}
