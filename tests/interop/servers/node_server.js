// node on the socket argv[2]: what test_foreign_matrix.py asks of every server.
const http = require('http');

function pieces() {
    const all = [];
    for (let n = 0; n < 1000; n++) all.push(n + '\n');
    return all;
}

const server = http.createServer((request, response) => {
    switch (request.url) {
    case '/hello':
        response.setHeader('Content-Length', 13);
        return response.end('Hello, world!');
    case '/chunked':
        for (const piece of pieces()) response.write(piece);
        return response.end();
    case '/echo':
        if (request.headers['content-length'])
            response.setHeader('Content-Length', request.headers['content-length']);
        return request.pipe(response);
    case '/echo-chunked':
        return request.pipe(response);
    case '/204':
    case '/304':
        response.statusCode = Number(request.url.slice(1));
        return response.end();
    case '/close':
        response.shouldKeepAlive = false;
        response.useChunkedEncodingByDefault = false;
        for (const piece of pieces()) response.write(piece);
        return response.end();
    case '/early':
        response.writeProcessing();
        return response.writeEarlyHints({link: '</style.css>; rel=preload'}, () => {
            response.end('late');
        });
    default:
        response.statusCode = 404;
        response.end('no');
    }
});
server.listen(process.argv[2]);
process.on('SIGTERM', () => process.exit(0));
