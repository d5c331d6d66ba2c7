// Days and times of day in the browser's time zone. A day is a text such as "2026-11-29", as <input type="date"> has it.

/** The name of the browser's time zone, such as "Europe/Berlin". */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";

const HOUR_S = 3600;
const pad = (value) => String(value).padStart(2, "0");

/** The day on which something happens. seconds: Unix seconds; now unless given. */
export function dayOf(seconds = Date.now() / 1000) {
  const date = new Date(1000 * seconds);
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

/** Whether a text is a day. */
export function isDay(text) {
  return /^\d{4}-\d\d-\d\d$/.test(text ?? "") && dayOf(startOf(text)) === text;
}

/** When a day begins, in Unix seconds. */
export function startOf(day) {
  return new Date(`${day}T00:00`).getTime() / 1000;
}

/** The day so many days later. */
export function shift(day, days) {
  const [year, month, date] = day.split("-").map(Number);
  return dayOf(new Date(year, month - 1, date + days, 12).getTime() / 1000);
}

/** The days of the month of a day. */
export function monthOf(day) {
  const first = `${day.slice(0, 8)}01`;
  return Array.from({ length: 31 }, (_, index) => shift(first, index)).filter((one) => one.slice(0, 7) === day.slice(0, 7));
}

/** The hours of a day, [{start, end}] in Unix seconds: 23 or 25 where clocks are changed. */
export function hoursOf(day) {
  const [start, end] = [startOf(day), startOf(shift(day, 1))];
  const count = Math.max(1, Math.round((end - start) / HOUR_S));
  return Array.from({ length: count }, (_, index) => ({ start: start + index * HOUR_S, end: index < count - 1 ? start + (index + 1) * HOUR_S : end }));
}

const format = (options) => {
  const formatter = new Intl.DateTimeFormat("en-GB", options);
  return (seconds) => formatter.format(new Date(1000 * seconds));
};

/** Unix seconds -> "08:15:02". */
export const timeOf = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
/** Unix seconds -> "08:15". */
export const minuteOf = format({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

const long = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const short = format({ weekday: "short", day: "numeric", month: "short" });
const month = format({ month: "long", year: "numeric" });

/** "Sunday 29 November 2026". */
export const describeDay = (day) => long(startOf(day)).replace(",", "");
/** "Sun 29 Nov". */
export const shortDay = (day) => short(startOf(day)).replace(",", "");
/** "November 2026". */
export const describeMonth = (day) => month(startOf(day));
