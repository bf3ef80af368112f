# Worker for CLVTools, BTYD and BTYDplus: one task in a process of its own, one line of JSON on standard output.
#
#   Rscript r_peers.R package=CLVTools task=fit model=bg-nbd data=FILE unit=7 params=1,2,3,4;... repeats=3 ...
#
# The packages' own functions are called on the summary (x, t_x, T); only CLVTools' fits need a log of transactions,
# which is made up from the summary: the days between the first and the last purchase do not matter to these models.

job <- list()
for (argument in commandArgs(trailingOnly = TRUE)) {
  at <- regexpr("=", argument)
  job[[substr(argument, 1, at - 1)]] <- substr(argument, at + 1, nchar(argument))
}
for (name in c("unit", "repeats", "patience", "horizon")) job[[name]] <- as.numeric(job[[name]])
if (!is.null(job$library)) .libPaths(c(job$library, .libPaths()))
points <- lapply(strsplit(job$params, ";")[[1]], function(p) as.numeric(strsplit(p, ",")[[1]]))

not_offered <- function(why) stop(structure(class = c("not_offered", "error", "condition"), list(message = why)))

memory <- function(name) {
  if (!file.exists("/proc/self/status")) return(NA)
  line <- grep(paste0("^", name), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

numbers <- function(values) {
  text <- sprintf("%.17g", values)
  text[is.nan(values) | is.na(values)] <- "NaN"
  text[values == Inf] <- "Infinity"
  text[values == -Inf] <- "-Infinity"
  paste0("[", paste(text, collapse = ", "), "]")
}

sums <- function(...) {
  columns <- list(...)
  bad <- sum(sapply(columns, function(v) sum(!is.finite(v))))
  fields <- sapply(names(columns), function(n) sprintf('"%s": %s', n, gsub("[][]", "", numbers(sum(columns[[n]])))))
  c(fields, sprintf('"not_finite": %d', bad))
}

read <- function(columns) matrix(readBin(job$data, "double", file.size(job$data) / 8), ncol = columns)

timed <- function(work) {
  walls <- c(); cpus <- c(); peak <- NA; answer <- NULL
  invisible(gc())
  try(writeLines("5", "/proc/self/clear_refs"), silent = TRUE)
  before <- memory("VmRSS")
  # A second at least: three runs of a few milliseconds would tell how cold the machine was.
  while ((length(walls) < job$repeats && sum(walls) < job$patience) || (job$repeats > 1 && sum(walls) < 1)) {
    answer <- NULL
    spent <- system.time(answer <- work())
    walls <- c(walls, spent[["elapsed"]])
    cpus <- c(cpus, spent[["user.self"]] + spent[["sys.self"]])
    if (is.na(peak)) peak <- memory("VmHWM")
  }
  fields <- c(sprintf('"wall": %s', numbers(walls)), sprintf('"cpu": %s', numbers(cpus)))
  if (!is.na(before)) fields <- c(fields, sprintf('"before_mb": %f', before), sprintf('"peak_mb": %f', peak))
  list(answer = answer, fields = fields)
}

# Each package answers with functions of parameters p and columns x, t_x, T (weeks); NULL where it has none.
packages <- list(
  CLVTools = function(model) {
    own <- asNamespace("CLVTools")
    switch(model,
      "bg-nbd" = list(
        loglik = function(p, x, t_x, T) own$bgnbd_nocov_LL_ind(log(p), x, t_x, T),
        p_alive = function(p, x, t_x, T) own$bgnbd_nocov_PAlive(p[1], p[2], p[3], p[4], x, t_x, T),
        expected = function(p, h, x, t_x, T) own$bgnbd_nocov_CET(p[1], p[2], p[3], p[4], h, x, t_x, T),
        fit = function(clv) own$bgnbd(clv, verbose = FALSE)),
      "pareto-nbd" = list(
        loglik = function(p, x, t_x, T) own$pnbd_nocov_LL_ind(log(p), x, t_x, T),
        p_alive = function(p, x, t_x, T) own$pnbd_nocov_PAlive(p[1], p[2], p[3], p[4], x, t_x, T),
        expected = function(p, h, x, t_x, T) own$pnbd_nocov_CET(p[1], p[2], p[3], p[4], h, x, t_x, T),
        dert = function(p, d, x, t_x, T) own$pnbd_nocov_DERT(p[1], p[2], p[3], p[4], d, x, t_x, T),
        fit = function(clv) own$pnbd(clv, verbose = FALSE)),
      "gamma-gamma" = list(
        spend = function(p, x, m) -own$gg_LL(log(p), x, m, rep(1, length(x))),
        fit = function(clv) own$gg(clv, verbose = FALSE)))
  },
  BTYD = function(model) {
    own <- asNamespace("BTYD")
    switch(model,
      "bg-nbd" = list(
        loglik = function(p, x, t_x, T) own$bgnbd.LL(p, x, t_x, T),
        p_alive = function(p, x, t_x, T) own$bgnbd.PAlive(p, x, t_x, T),
        expected = function(p, h, x, t_x, T)
          own$bgnbd.ConditionalExpectedTransactions(p, T.star = h, x = x, t.x = t_x, T.cal = T),
        estimate = function(cbs) own$bgnbd.EstimateParameters(cbs)),
      "pareto-nbd" = list(
        loglik = function(p, x, t_x, T) own$pnbd.LL(p, x, t_x, T, hardie = TRUE),
        p_alive = function(p, x, t_x, T) own$pnbd.PAlive(p, x, t_x, T, hardie = TRUE),
        expected = function(p, h, x, t_x, T)
          own$pnbd.ConditionalExpectedTransactions(p, T.star = h, x = x, t.x = t_x, T.cal = T, hardie = TRUE),
        dert = function(p, d, x, t_x, T) own$pnbd.DERT(p, x, t_x, T, d, hardie = TRUE),
        estimate = function(cbs) own$pnbd.EstimateParameters(cbs, hardie = TRUE)),
      "gamma-gamma" = list(
        spend = function(p, x, m) sum(own$spend.LL(p, m, x)),
        estimate_spend = function(x, m) own$spend.EstimateParameters(m, x)),
      "bg-bb" = list(loglik = function(p, x, t_x, T) own$bgbb.LL(p, x, t_x, T)))
  },
  BTYDplus = function(model) {
    own <- asNamespace("BTYDplus")
    nbd <- function(drop, ll, estimate) list(
      loglik = function(p, x, t_x, T) ll(c(1, p), x, t_x, T, rep(0, length(x))),
      p_alive = function(p, x, t_x, T) own$xbgcnbd.PAlive(c(1, p), x, t_x, T, dropout_at_zero = drop),
      expected = function(p, h, x, t_x, T)
        own$xbgcnbd.ConditionalExpectedTransactions(c(1, p), h, x, t_x, T, dropout_at_zero = drop),
      estimate = function(cbs) estimate(cbind(cbs, litt = 0), k = 1)[-1])
    switch(model,
      "bg-nbd" = nbd(FALSE, own$bgcnbd.LL, function(cbs, k) own$bgcnbd.EstimateParameters(cbs, k = k)),
      "mbg-nbd" = nbd(TRUE, own$mbgcnbd.LL, function(cbs, k) own$mbgcnbd.EstimateParameters(cbs, k = k)),
      "nbd" = list(
        loglik = function(p, x, t_x, T) own$nbd.LL(p, x, T),
        estimate = function(cbs) own$nbd.EstimateParameters(cbs)))
  }
)

transactions <- function(base) {
  end <- as.Date("2020-01-01")
  days <- round(base[, 1:3] * rep(c(1, job$unit, job$unit), each = nrow(base)))
  id <- rep(seq_len(nrow(base)), days[, 1] + 1)
  nth <- sequence(days[, 1] + 1) - 1
  last <- nth > 0 & nth == days[id, 1]
  data.table::data.table(
    Id = as.character(id), Date = end - days[id, 3] + ifelse(last, days[id, 2], nth), Price = base[id, 4])
}

prepare <- function() {
  suppressWarnings(suppressMessages(library(job$package, character.only = TRUE)))
  model <- packages[[job$package]](job$model)
  if (is.null(model)) not_offered(paste("has no", job$model))
  if (job$task == "extreme") {
    table <- read(1)
    table <- matrix(table, ncol = 8, byrow = TRUE)
    one <- function(work) tryCatch(suppressWarnings(as.numeric(work())[1]), error = function(e) NaN)
    work <- function() apply(table, 1, function(row) {
      p <- row[1:4]; x <- row[5]; t_x <- row[6]; T <- row[7]; h <- row[8]
      c(one(function() model$loglik(p, x, t_x, T)), one(function() model$p_alive(p, x, t_x, T)),
        one(function() model$expected(p, h, x, t_x, T)))
    })
    return(list(work, function(rows)
      paste0('"rows": [', paste(apply(rows, 2, numbers), collapse = ", "), "]")))
  }
  base <- read(4)
  base[, 2:3] <- base[, 2:3] / job$unit
  x <- base[, 1]; t_x <- base[, 2]; T <- base[, 3]
  paid <- x > 0 & base[, 4] > 0
  p <- points[[1]]
  if (job$task == "loglik") {
    value <- if (is.null(model$spend)) function(p) sum(model$loglik(p, x, t_x, T))
             else function(p) model$spend(p, x[paid], base[paid, 4])
    return(list(function() sapply(points, value), function(values) sprintf('"values": %s', numbers(values))))
  }
  if (job$task == "fit") {
    told <- function(p) sprintf('"params": %s', numbers(as.numeric(p)))
    if (!is.null(model[["estimate"]])) {
      cbs <- cbind(x = x, t.x = t_x, T.cal = T)
      if (job$package == "BTYDplus") cbs <- as.data.frame(cbs)
      return(list(function() model[["estimate"]](cbs), told))
    }
    if (!is.null(model$estimate_spend))
      return(list(function() model$estimate_spend(x[paid], base[paid, 4]), told))
    if (!is.null(model$fit)) {
      if (job$model == "gamma-gamma") base <- base[paid, ]
      if (!job$unit %in% c(7, 1)) not_offered("no fit of daily data in this time unit")
      clv <- suppressMessages(CLVTools::clvdata(transactions(base), "ymd", if (job$unit == 7) "week" else "day",
        data.end = as.Date("2020-01-01")))
      return(list(function() suppressWarnings(model$fit(clv)), function(f) told(coef(f))))
    }
  }
  if (job$task == "score" && !is.null(model$p_alive))
    return(list(function() list(model$p_alive(p, x, t_x, T), model$expected(p, job$horizon, x, t_x, T)),
      function(both) sums(p_alive = both[[1]], expected = both[[2]])))
  if (job$task == "dert" && !is.null(model$dert))
    return(list(function() model$dert(p, as.numeric(job$delta), x, t_x, T), function(v) sums(dert = v)))
  not_offered(paste("no", job$task, "of", job$model))
}

report <- tryCatch({
  invisible(capture.output(made <- prepare()))
  invisible(capture.output(spent <- timed(made[[1]])))
  c(spent$fields, made[[2]](spent$answer))
}, not_offered = function(e) sprintf('"skipped": "%s"', conditionMessage(e)),
   error = function(e) sprintf('"error": "%s"', gsub('["\\\n]', " ", substr(conditionMessage(e), 1, 200))))
cat(paste0("{", paste(report, collapse = ", "), "}\n"))
