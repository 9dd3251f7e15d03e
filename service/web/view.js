// The part of a map that is seen: between its own places, from 0 to 1, and pixels.

const LEAST = 0.6;
const MOST = 60;

export class View {
  constructor() {
    this.reset();
    this.width = 1;
    this.height = 1;
  }

  /** All of the map. */
  reset() {
    this.zoom = 0.92;
    this.x = 0.5;
    this.y = 0.5;
  }

  get scale() {
    return this.zoom * Math.min(this.width, this.height);
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toMap(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, (top - this.height / 2) / this.scale + this.y];
  }

  pan(dx, dy) {
    this.x = Math.max(-0.2, Math.min(1.2, this.x - dx / this.scale));
    this.y = Math.max(-0.2, Math.min(1.2, this.y - dy / this.scale));
  }

  /** Zoom so that what is at a place of the screen stays there. */
  zoomAt(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toMap(left, top);
    this.zoom = Math.max(LEAST, Math.min(MOST, this.zoom * factor));
    const [moved, lowered] = this.toMap(left, top);
    this.x += x - moved;
    this.y += y - lowered;
  }
}
