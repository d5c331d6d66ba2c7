# The server and its page, on a CPU and without root rights. See docs/deploy.md.
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 ainext
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir ".[serve]" && rm -rf /src/*

USER ainext
WORKDIR /home/ainext
EXPOSE 8000
# Whatever port the server was given.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["ainext", "serve", "--check"]
ENTRYPOINT ["ainext"]
CMD ["serve", "--host", "0.0.0.0"]
