import { Type } from '../../config/index.ts';

/* What requests about hosts have in common. */

export const closed = { additionalProperties: false } as const;
export const hex = Type.String({ pattern: '^[0-9a-f]{64}$' });
export const labels = Type.Record(
  Type.String({ pattern: '^[a-z0-9][a-z0-9._/-]{0,62}$' }),
  Type.String({ maxLength: 128 }),
  closed,
);
export const name = Type.String({ minLength: 1, maxLength: 63 });
export const platform = Type.String({ minLength: 1, maxLength: 128 });
