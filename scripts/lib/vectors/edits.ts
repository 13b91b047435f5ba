import type { Edit, Json } from './world.ts';

/** Claims with members of their details replaced. */
export function withDetails(claims: Json, change: Json): Json {
  const [details] = claims['authorization_details'] as [Json];
  return { ...claims, authorization_details: [{ ...details, ...change }] };
}

/** Claims with a member of their constraints replaced, or left out where the value is undefined. */
export function withConstraint(claims: Json, name: string, value: unknown): Json {
  const [details] = claims['authorization_details'] as [{ constraints: Json }];
  const { [name]: _old, ...others } = details.constraints;
  return withDetails(claims, { constraints: value === undefined ? others : { ...others, [name]: value } });
}

/** Changes the claims of one link only. */
export const at =
  (depth: number, edit: (claims: Json) => Json): Edit =>
  (claims, link) =>
    link === depth ? edit(claims) : claims;

/** Sets members of one link's claims; undefined leaves one out. */
export const set = (depth: number, change: Json): Edit =>
  at(depth, (claims) =>
    Object.fromEntries(Object.entries({ ...claims, ...change }).filter(([, value]) => value !== undefined)),
  );
