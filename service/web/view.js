// The part of a map that is seen: between its own places, from 0 to 1, and pixels.

const LEAST = 0.6;
const MOST = 30;
const STRETCH = 1.8;
const ROOM = 0.8;

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

  /** Pixels across and down that all of the map takes; it may be wider than high, or higher. */
  get scale() {
    const least = STRETCH * Math.min(this.width, this.height);
    return [this.zoom * Math.min(this.width, least), this.zoom * Math.min(this.height, least)];
  }

  toScreen(x, y) {
    const [wide, high] = this.scale;
    return [(x - this.x) * wide + this.width / 2, (y - this.y) * high + this.height / 2];
  }

  toMap(left, top) {
    const [wide, high] = this.scale;
    return [(left - this.width / 2) / wide + this.x, (top - this.height / 2) / high + this.y];
  }

  pan(dx, dy) {
    const [wide, high] = this.scale;
    this.x = Math.max(-0.2, Math.min(1.2, this.x - dx / wide));
    this.y = Math.max(-0.2, Math.min(1.2, this.y - dy / high));
  }

  /** Show these places, [x, y] each, and some room around them. */
  fit(places) {
    const [xs, ys] = [places.map(([x]) => x), places.map(([, y]) => y)];
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    const [wide, high] = this.scale.map((each) => each / this.zoom);
    const room = 0.02;
    this.zoom = Math.max(LEAST, Math.min(MOST / 2,
      ROOM * this.width / (wide * (right - left + room)), ROOM * this.height / (high * (bottom - top + room))));
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
