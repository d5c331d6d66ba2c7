// How long something takes yet, from the share of it that is done.

const [MIN_SECONDS, WINDOW] = [2, 30]; // that an estimate needs, and that it looks back

export class TimeLeft {
  #seen = []; // [seconds, share], oldest first

  /** Learns that a share, 0 to 1 or null, is done; returns the seconds that are left, or null if that is not known yet. */
  update(share, now = performance.now() / 1000) {
    if (share == null) return null;
    if (this.#seen.length && share < this.#seen.at(-1)[1]) this.#seen = [];
    this.#seen.push([now, share]);
    // One older than the window stays, so that the estimate covers all of it.
    while (this.#seen.length > 2 && now - this.#seen[1][0] > WINDOW) this.#seen.shift();
    const [first, before] = this.#seen[0];
    if (now - first < MIN_SECONDS || share <= before) return null;
    return ((1 - share) * (now - first)) / (share - before);
  }
}

/** 200 -> "about 3 min left". */
export function inWords(seconds) {
  if (seconds < 5) return "a few seconds left";
  if (seconds < 55) return `about ${seconds < 12 ? Math.round(seconds) : 5 * Math.round(seconds / 5)} s left`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return `about ${minutes} min left`;
  return `about ${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}
