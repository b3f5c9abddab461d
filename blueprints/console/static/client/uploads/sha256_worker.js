import { hashed } from "./hashing.js";
const here = self;
here.onmessage = ({ data }) => {
    hashed(data, (read) => here.postMessage({ read })).then((digest) => here.postMessage({ digest }), (error) => here.postMessage({ failed: String(error) }));
};
