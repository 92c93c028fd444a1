import type { TranslationBundle } from '@jupyterlab/translation';

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Ollama means "forever" by an expiry some 292 years ahead. */
const FOREVER = 10 * 365 * DAY;

/** Decimal units, as Ollama's own listing has them: 270898672 is "271 MB". */
export function humanBytes(bytes: number): string {
  let unit = 0;
  let value = Math.max(bytes, 0);
  // 999.5, not 1000: "1000 kB" would be what 999,600 rounds to.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** When a model leaves memory, in words: "in 4 min", "never", "when idle". Both times in ms since the epoch. */
export function untilUnload(expires: number, now: number, trans: TranslationBundle): string {
  const left = expires - now;
  if (Number.isNaN(left)) {
    return trans.__('unknown');
  }
  if (left <= 0) {
    return trans.__('when idle');
  }
  return left > FOREVER ? trans.__('never') : trans.__('in %1', duration(left));
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / SECOND);
  const minutes = Math.round(ms / MINUTE);
  const hours = Math.round(ms / HOUR);
  if (seconds < 60) {
    return `${seconds} s`;
  }
  if (minutes < 60) {
    return `${minutes} min`;
  }
  return hours < 48 ? `${hours} h` : `${Math.round(ms / DAY)} d`;
}
