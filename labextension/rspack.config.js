// The default ids are hashes of absolute paths, so that every checkout would build another bundle; these count up.
module.exports = { optimization: { moduleIds: 'natural', chunkIds: 'natural' } };
