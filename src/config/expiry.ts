import type { Certificate } from '../x509/index.ts';
import { DAY_MS } from './issue-operator.ts';

/** Something that ends, and how soon. */
export interface Expiry {
  readonly what: string;
  /** Unix ms. */
  readonly notAfter: number;
  /** Whole days left; negative when it is over. */
  readonly days: number;
  readonly level: 'ok' | '30-days' | '7-days' | '1-day' | 'expired';
}

/** How soon a certificate ends; warnings begin 30, 7 and 1 days before. */
export function expiryOf(what: string, { notAfter }: Pick<Certificate, 'notAfter'>, now: number): Expiry {
  const days = Math.floor((notAfter - now) / DAY_MS);
  return { what, notAfter, days, level: levelOf(notAfter - now) };
}

function levelOf(left: number): Expiry['level'] {
  if (left < 0) return 'expired';
  if (left <= DAY_MS) return '1-day';
  if (left <= 7 * DAY_MS) return '7-days';
  return left <= 30 * DAY_MS ? '30-days' : 'ok';
}
