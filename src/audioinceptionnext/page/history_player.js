// Plays the kept clips of events, one at a time. They are fetched, because an <audio> could not send the server's key.

export class ClipPlayer {
  /** fetchClip(id): resolves to a Blob. onChange(): called when another event plays, or none. onProblem(error). */
  constructor(fetchClip, onChange, onProblem) {
    Object.assign(this, { fetchClip, onChange, onProblem, id: null, url: null });
    this.media = new Audio();
    this.media.onended = () => this.stop();
    this.media.onerror = () => {
      if (!this.url) return;
      this.stop();
      this.onProblem(new Error("This browser cannot play the clip."));
    };
  }

  /** Plays an event's clip, or stops it if it plays. id: of the event. */
  async toggle(id) {
    const stops = id === this.id;
    this.stop();
    if (stops) return;
    this.id = id;
    this.onChange();
    try {
      const clip = await this.fetchClip(id);
      if (this.id !== id) return; // another one has been started since
      this.url = URL.createObjectURL(clip);
      this.media.src = this.url;
      await this.media.play();
    } catch (error) {
      if (this.id !== id || error.name === "AbortError" || error.name === "NotSupportedError") return; // onerror tells
      this.stop();
      this.onProblem(error);
    }
  }

  stop() {
    this.media.pause();
    if (this.url) URL.revokeObjectURL(this.url);
    this.id = this.url = null;
    this.media.removeAttribute("src");
    this.onChange();
  }
}
