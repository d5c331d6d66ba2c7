// A recording that plays: as a whole, or one stretch of it.

export class Player {
  /** media: an <audio> or <video>. changed: called when it starts, stops or is sought. */
  constructor(media, changed) {
    this.media = media;
    this.until = Infinity;
    this.changed = changed;
    this.usable = Boolean(media);
    if (!media) return;
    for (const name of ["play", "pause", "seeked", "ended"]) media.addEventListener(name, () => this.changed());
    media.addEventListener("error", () => {
      this.usable = false;
      this.changed();
    });
  }

  get playing() {
    return this.usable && !this.media.paused && !this.media.ended;
  }

  get time() {
    return this.usable ? this.media.currentTime : 0;
  }

  toggle() {
    if (this.playing) this.media.pause();
    else this.play();
  }

  play() {
    if (!this.usable) return;
    if (this.time >= this.until) this.until = Infinity;
    this.media.play().catch(() => {}); // refused or broken: the error event says so
  }

  /** Plays from start to end, in seconds, and stops there. */
  stretch(start, end) {
    if (!this.usable) return;
    this.until = end;
    this.media.currentTime = start;
    this.media.play().catch(() => {});
  }

  seek(seconds) {
    if (!this.usable) return;
    this.until = Infinity;
    this.media.currentTime = Math.max(0, seconds);
    this.changed();
  }

  /** To be called often while it plays: stops at the end of a stretch. */
  tick() {
    if (this.playing && this.time >= this.until) {
      this.media.pause();
      this.until = Infinity;
    }
  }

  close() {
    this.media?.pause();
  }
}
