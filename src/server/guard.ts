import { createHash, timingSafeEqual } from 'node:crypto';
import type { Context, MiddlewareHandler } from 'hono';
import { refuse } from './answer-error.js';

/** Whether a host, as a URL or the Host header has it, is this machine for itself. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Whether the caller has sent the token; true when there is none. In constant time, whatever was sent. */
export function hasToken(c: Context, token: string | undefined): boolean {
  if (token === undefined) return true;
  const [, sent = ''] = /^Bearer +(.*)$/i.exec(c.req.header('authorization') ?? '') ?? [];
  return timingSafeEqual(digest(sent), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Refuses whoever lacks the token. */
export function requireToken(token: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    if (hasToken(c, token)) return next();
    return refuse(
      c,
      'UNAUTHORIZED',
      'The token is missing or wrong.',
      'Send `Authorization: Bearer` with the value of HOLDFAST_HTTP_TOKEN.',
      { 'WWW-Authenticate': 'Bearer' },
    );
  };
}

/**
 * Without a token, being on this machine is what gives access, and every web page that a person opens is on it too: a name
 * that somebody has made point here (DNS rebinding) is refused.
 */
export const requireLoopbackName: MiddlewareHandler = async (c, next) => {
  const { hostname } = new URL(c.req.url);
  if (isLoopback(hostname)) return next();
  return refuse(
    c,
    'FORBIDDEN',
    `This server is not called ${hostname}.`,
    'Use 127.0.0.1 or localhost; for another name set HOLDFAST_HTTP_TOKEN.',
  );
};

/** Refuses requests that a page of another origin makes in somebody's browser (CSRF); other programs send no origin. */
export const refuseForeignPages: MiddlewareHandler = async (c, next) => {
  const origin = c.req.header('origin');
  // Not the scheme: a proxy in front may add TLS.
  const isOwn = (page: string) => URL.canParse(page) && new URL(page).host === new URL(c.req.url).host;
  if (origin === undefined || isOwn(origin)) return next();
  return refuse(c, 'FORBIDDEN', `Pages of ${origin} may not use this API.`, 'Call it from a server.');
};
