// The events of a server's history: those of one day, kept up to date, and numbers of them by day.
import { shift, startOf, ZONE } from "./days.js";

const PAGE = 5000; // events in a response, which the server allows
const MAX_EVENTS = 20_000; // of a day
const RECENT_S = 600; // how far back events may have changed without this page: clips follow their events

export class HistoryStore {
  /** engine: a ServerEngine. */
  constructor(engine) {
    this.engine = engine;
    this.events = []; // of the day, ordered by start: {id, source, start, end (Unix seconds), label, score, clip, …}
    this.complete = true; // whether these are all
  }

  /** What the history holds: {events, first, last, sources, labels, clips}. */
  async summary() {
    return this.#get("/v1/events/summary");
  }

  /** Loads a day. */
  async load(day) {
    this.day = day;
    const [after, before] = [startOf(day), startOf(shift(day, 1))];
    const events = [];
    let cursor = "";
    do {
      const page = await this.#page({ after, before, limit: PAGE, ...(cursor && { cursor }) });
      events.push(...page.events);
      cursor = page.next;
    } while (cursor && events.length < MAX_EVENTS);
    if (day !== this.day) return; // another one has been asked for since
    this.complete = !cursor;
    this.events = events.reverse();
  }

  /** Loads what has happened of late. Returns whether anything is different. */
  async refresh() {
    const { day } = this;
    const after = Math.max(startOf(day), Date.now() / 1000 - RECENT_S);
    const { events } = await this.#page({ after, before: startOf(shift(day, 1)), limit: PAGE });
    if (day !== this.day) return false;
    const fresh = [...this.events.filter(({ start }) => start < after), ...events.reverse()];
    const changed = JSON.stringify(fresh) !== JSON.stringify(this.events);
    this.events = fresh;
    return changed;
  }

  /** The number of events of each day: a Map of Maps by day and label. filters: {source, min_score}. */
  async countDays(days, filters) {
    const query = { by: "day", after: startOf(days[0]), before: startOf(shift(days.at(-1), 1)), time_zone: ZONE, ...filters };
    const { counts } = await this.#get(`/v1/events/counts?${new URLSearchParams(query)}`);
    const found = new Map(days.map((day) => [day, new Map()]));
    for (const { start, label, events } of counts) found.get(start.slice(0, 10))?.set(label, events);
    return found;
  }

  async clip(id) {
    return (await this.engine.request(`/v1/events/${id}/clip`)).blob();
  }

  async rename(id, label) {
    const response = await this.engine.request(`/v1/events/${id}`, { method: "PATCH", json: { label } });
    const changed = parse(await response.json());
    this.events = this.events.map((one) => (one.id === id ? changed : one));
    return changed;
  }

  /** Deletes an event. It is deleted even if the page is left meanwhile. */
  async remove(id) {
    await this.engine.request(`/v1/events/${id}`, { method: "DELETE", keepalive: true }).catch((error) => {
      if (error.status !== 404) throw error; // somebody else was faster
    });
    this.events = this.events.filter((one) => one.id !== id);
  }

  async #get(path) {
    return (await this.engine.request(path)).json();
  }

  async #page(query) {
    const { events, next } = await this.#get(`/v1/events?${new URLSearchParams(query)}`);
    return { events: events.map(parse), next };
  }
}

function parse(event) {
  return { ...event, start: Date.parse(event.start) / 1000, end: Date.parse(event.end) / 1000 };
}
