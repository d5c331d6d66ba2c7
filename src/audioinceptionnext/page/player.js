// Plays a recording: the whole of it, or one segment.

export class Player {
  /** media: an <audio> or <video>, or null. onChange: called when it starts, stops, or jumps. */
  constructor(media, onChange) {
    this.media = media;
    this.until = Infinity; // seconds at which a segment ends
    this.onChange = onChange;
    this.usable = Boolean(media);
    if (!media) return;
    for (const name of ["play", "pause", "seeked", "ended"]) media.addEventListener(name, () => this.onChange());
    media.addEventListener("error", () => {
      this.usable = false;
      this.onChange();
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
    this.media.play().catch(() => {}); // the error event reports what cannot be played
  }

  /** Plays from start to end, in seconds, and stops there. */
  playSegment(start, end) {
    if (!this.usable) return;
    this.until = end;
    this.media.currentTime = start;
    this.media.play().catch(() => {});
  }

  seek(seconds) {
    if (!this.usable) return;
    this.until = Infinity;
    this.media.currentTime = Math.max(0, seconds);
    this.onChange();
  }

  /** Stops at the end of a segment; to be called often while it plays. */
  checkEnd() {
    if (this.playing && this.time >= this.until) {
      this.media.pause();
      this.until = Infinity;
    }
  }

  close() {
    this.media?.pause();
  }
}
