import java.text.SimpleDateFormat;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.time.zone.ZoneOffsetTransition;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.TimeZone;

/**
 * Prints what Java makes of date patterns, as the truth that src/plan/date_format is tested against.
 *
 * <p>java tests/data/dates/DateVectors.java > tests/data/dates/vectors.tsv
 *
 * <p>Both Java libraries are asked. They disagree on S (only DateTimeFormatter has fractions), on local times that exist twice
 * (DateTimeFormatter takes the earlier) and on names such as PST in a text (only SimpleDateFormat keeps to the name), so each is
 * asked for what Pollinator takes from it: SimpleDateFormat also for blanks before fields.
 */
final class DateVectors {
    static final String[] PATTERNS = {
        "yyyy-MM-dd'T'HH:mm:ss'Z'", "yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "yyyy-MM-dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "EEE, dd MMM yyyy HH:mm:ss Z", "yyyy-MM-dd'T'HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ss.SSS", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "yyyy-MM-dd", "yyyy-MM-dd' 'HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ss.SSSX", "yyyy-MM-dd'T'HH:mm:ssZ", "yyyy/MM/dd HH:mm:ss", "MM/dd/yyyy['T'HH:mm:ssXXX]",
        "dd/MM/yyyy['T'HH:mm:ssXXX]", "MM/dd/yyy'T'HH:mm:ssXXX", "yyyy-MM-dd HH:mm:ss -0800", "yyyyMMddHHmmss",
        "yyyyMMdd'T'HHmmssX", "yyyyMMddHHmmssSSS", "d.M.yyyy H:mm", "M/d/yy h:mm:ss a", "EEEE, d MMMM yyyy HH:mm:ss.SSSSSSSSS XX",
        "yyyy-DDD'T'HH:mm", "uuuu-MM-dd'T'kk:mm:ssxxx", "dd-MMM-yyyy KK:mm a", "yyyy-MM-dd'T'HH:mm:ss.SZZZZZ", "GGG yyyy-MM-dd",
        "EEE MMM dd HH:mm:ss yyyy", "yyyy-MM-dd''HH 'o''clock'", "yyyy-MM-dd HH:mm:ss ZZZZ", "yyyy-MM-dd HH:mm O", "yyyy-LL-dd HH:mm VV",
        "yyyy-MM-dd'T'HH:mm:ss[.SSSSSS][XXX]", "yyyy-MM-dd'T'HH:mmXXXXX"
    };

    static final String[] ZONES = {
        "GMT", "UTC", "Z", "PST", "CST", "EST", "MST", "HST", "America/Denver", "America/Los_Angeles", "Europe/Berlin", "Europe/London",
        "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "IST", "JST", "ACT", "-8:00", "+6:00", "GMT+6", "GMT-03:30", "+0530"
    };

    static final String[] INSTANTS = {
        "1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z", "2000-02-29T12:00:00Z", "2009-02-13T23:31:30Z", "2016-12-31T23:59:59Z",
        "2018-03-02T14:13:20.123456789Z", "2019-06-30T11:59:00.5Z", "2020-02-29T00:00:00.000001Z", "2021-07-04T04:05:06.78Z",
        "2024-01-01T07:59:59.1Z", "2024-12-31T12:00:00Z", "2025-08-09T10:11:12.130Z", "2026-10-10T20:00:01.000999Z", "2038-01-19T03:14:08Z",
        "2099-12-31T00:30:00Z"
    };

    static ZoneId zone(String name) {
        try {
            return ZoneId.of(name, ZoneId.SHORT_IDS);
        } catch (java.time.DateTimeException unknown) {
            return TimeZone.getTimeZone("GMT" + name).toZoneId();
        }
    }

    static TimeZone timeZone(String name) {
        return TimeZone.getTimeZone(name.startsWith("+") || name.startsWith("-") ? "GMT" + name : name);
    }

    static String plain(Instant at) {
        return String.format("%d.%09d", at.getEpochSecond(), at.getNano());
    }

    static void print(String library, String pattern, String zone, String instant, String text, Instant read) {
        System.out.println(String.join("\t", library, pattern, zone, instant, text, plain(read)));
    }

    static Instant read(DateTimeFormatter formatter, ZoneId zone, String text) {
        var parsed = formatter.withZone(zone).parse(text);
        if (parsed.isSupported(java.time.temporal.ChronoField.INSTANT_SECONDS)) {
            return Instant.from(parsed);
        }
        return java.time.LocalDate.from(parsed).atStartOfDay(zone).toInstant();
    }

    /** Formatted and read back. */
    static void both(String pattern, String zoneName, Instant at) {
        ZoneId zone = zone(zoneName);
        DateTimeFormatter formatter = DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH);
        String text = formatter.format(at.atZone(zone));
        print("java.time", pattern, zoneName, plain(at), text, read(formatter, zone, text));
    }

    /** Local time before, in and behind the change of offset, whether it exists once, twice or never. */
    static void edge(String pattern, String zoneName, ZoneOffsetTransition change) {
        ZoneId zone = zone(zoneName);
        DateTimeFormatter formatter = DateTimeFormatter.ofPattern(pattern, Locale.ENGLISH);
        LocalDateTime start = change.getDateTimeBefore().isBefore(change.getDateTimeAfter()) ? change.getDateTimeBefore() : change.getDateTimeAfter();
        long length = Math.abs(change.getDuration().getSeconds());
        for (long seconds : new long[] {-1, 0, 1, length / 2, length - 1, length, length + 1}) {
            // a formatter without zone prints the local time as it is, even one that does not exist
            String text = formatter.format(start.plusSeconds(seconds));
            print("java.time", pattern, zoneName, "-", text, read(formatter, zone, text));
        }
    }

    static void simple(String pattern, String zoneName, Instant at) throws Exception {
        SimpleDateFormat format = new SimpleDateFormat(pattern, Locale.ENGLISH);
        format.setTimeZone(timeZone(zoneName));
        String text = format.format(Date.from(at));
        print("java.text", pattern, zoneName, plain(at), text, format.parse(text).toInstant());
    }

    /** An offset with its region, as java.time prints them, and with a region or offset that do not fit each other. */
    static void zoned(String pattern, DateTimeFormatter formatter, String offset, String region, LocalDateTime local) {
        String text = DateTimeFormatter.ISO_LOCAL_DATE_TIME.format(local) + offset + "[" + region + "]";
        print("java.time", pattern, "GMT", "-", text, Instant.from(formatter.parse(text)));
    }

    static void simpleText(String pattern, String zone, String text) throws Exception {
        SimpleDateFormat format = new SimpleDateFormat(pattern, Locale.ENGLISH);
        format.setTimeZone(timeZone(zone));
        print("java.text", pattern, zone, "-", text, format.parse(text).toInstant());
    }

    /** English names as other countries have them: a.m., Sept, Nov. */
    static void names(Locale locale, String pattern, Instant at) {
        DateTimeFormatter formatter = DateTimeFormatter.ofPattern(pattern, locale).withZone(ZoneId.of("GMT"));
        String text = formatter.format(at);
        print("java.time", pattern, "GMT", "-", text, Instant.from(formatter.parse(text)));
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println("# Made by DateVectors.java with Java " + System.getProperty("java.version") + "; do not edit.");
        System.out.println("# library, pattern, zone, instant or -, its text, the instant that Java reads from the text");
        int turn = 0;
        for (String pattern : PATTERNS) {
            for (String zone : ZONES) {
                if (pattern.contains("VV") && zone.matches("Z|.*[-+].*")) {
                    continue; // Java has several identifiers for one offset
                }
                for (int i = 0; i < 3; i++) {
                    both(pattern, zone, Instant.parse(INSTANTS[turn++ % INSTANTS.length]));
                }
            }
        }
        both("GGG yyyy-MM-dd", "GMT", Instant.parse("-0043-03-15T00:00:00Z"));
        both("uuuu-MM-dd'T'HH:mm:ssXXX", "GMT", Instant.parse("-0043-03-15T12:00:00Z"));
        both("yyyy-MM-dd'T'HH:mm:ssXXX", "GMT", Instant.parse("+12345-03-15T12:00:00Z"));
        String[] local = {"yyyy-MM-dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ss.SSS", "d/M/yyyy h:mm:ss a", "yyyyMMddHHmmss"};
        for (String name : new String[] {"PST", "America/Denver", "America/St_Johns", "Europe/Berlin", "Europe/London", "Australia/Lord_Howe", "Africa/Cairo", "Pacific/Apia", "America/Sao_Paulo"}) {
            List<ZoneOffsetTransition> changes = new ArrayList<>();
            for (String from : new String[] {"2010-12-01T00:00:00Z", "2011-12-01T00:00:00Z", "2018-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"}) {
                ZoneOffsetTransition next = zone(name).getRules().nextTransition(Instant.parse(from));
                if (next != null && !changes.contains(next)) {
                    changes.add(next);
                }
            }
            for (ZoneOffsetTransition change : changes) {
                edge(local[turn++ % local.length], name, change);
                for (long seconds : new long[] {-3601, -3600, -1800, -1, 0, 1, 1800, 3599, 3600}) {
                    both("yyyy-MM-dd'T'HH:mm:ssXXX", name, change.getInstant().plusSeconds(seconds));
                    both("yyyy-MM-dd HH:mm:ss", name, change.getInstant().plusSeconds(seconds));
                }
            }
        }
        for (String pattern : new String[] {"yyyy-MM-dd'T'HH:mmz", "EEE MMM dd HH:mm:ss zzz yyyy", "EEE, dd MMM yyyy HH:mm:ss z", "M/d/yyyy h:mm a z", "EEE, d MMM yy HH:mm:ss Z", "yyyy.MM.dd G 'at' HH:mm:ss Z"}) {
            for (String zone : new String[] {"GMT", "UTC", "PST", "CST", "EST", "MST", "HST", "America/Denver", "Europe/Berlin", "Asia/Kolkata", "Australia/Sydney", "+6:00", "-8:00"}) {
                for (String at : new String[] {"2020-01-02T03:04:00Z", "2020-07-02T19:30:00Z", "2024-11-03T08:30:00Z", "2024-11-03T09:30:00Z"}) {
                    simple(pattern, zone, Instant.parse(at));
                }
            }
        }
        for (String zone : ZONES) {
            for (String pattern : new String[] {"yyyy-MM-dd HH:mm:ss", "MM/dd/yyyy HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ssXXX"}) {
                simple(pattern, zone, Instant.parse(INSTANTS[turn++ % INSTANTS.length]));
            }
        }
        // SimpleDateFormat reads one digit where the pattern has two
        for (String text : new String[] {"3/4/2021 5:06:07", "12/1/2021 00:00:00", "03/04/2021 15:06:07"}) {
            SimpleDateFormat format = new SimpleDateFormat("MM/dd/yyyy HH:mm:ss", Locale.ENGLISH);
            format.setTimeZone(timeZone("PST"));
            print("java.text", "MM/dd/yyyy HH:mm:ss", "PST", "-", text, format.parse(text).toInstant());
        }
        String regional = "yyyy-MM-dd'T'HH:mm:ssXXX'['VV']'";
        DateTimeFormatter regionalFormatter = DateTimeFormatter.ofPattern(regional, Locale.ENGLISH);
        for (String region : new String[] {"Europe/Paris", "America/New_York", "Asia/Kolkata", "UTC", "GMT", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Etc/GMT+8"}) {
            for (String at : new String[] {"2026-11-24T10:00:00Z", "2026-07-24T10:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"}) {
                ZonedDateTime moment = Instant.parse(at).atZone(ZoneId.of(region));
                print("java.time", regional, region, plain(moment.toInstant()), regionalFormatter.format(moment), moment.toInstant());
                print("java.time", "", "GMT", "-", DateTimeFormatter.ISO_ZONED_DATE_TIME.format(moment), moment.toInstant());
            }
            LocalDateTime morning = LocalDateTime.parse("2026-07-24T11:30:15");
            for (String offset : new String[] {"Z", "+01:00", "+02:00", "-05:00", "+05:30", "+14:00"}) {
                zoned(regional, regionalFormatter, offset, region, morning);
                zoned("", DateTimeFormatter.ISO_ZONED_DATE_TIME, offset, region, morning);
            }
        }
        String browser = "EEE MMM dd yyyy HH:mm:ss 'GMT'Z (z)";
        simpleText(browser, "GMT", "Tue Nov 24 2026 11:00:00 GMT+0100 (Central European Standard Time)");
        simpleText(browser, "PST", "Fri Jul 24 2026 11:00:00 GMT+0200 (CEST)");
        simpleText("EEE, dd MMM yyyy HH:mm:ss Z", "GMT", "Tue, 24 Nov 2026 11:00:00 +0100 (CET)");
        simpleText("EEE MMM dd yyyy HH:mm:ss 'GMT'Z", "GMT", "Sun Nov 01 2026 01:30:00 GMT-0500 (Eastern Standard Time)");
        for (String text : new String[] {"Nov  4 2026 05:06:07", "Nov 4 2026  5:06:07", "Nov  04  2026 5: 6: 7", "Nov 04 2026   05:06:07"}) {
            simpleText("MMM dd yyyy HH:mm:ss", "PST", text);
        }
        for (String text : new String[] {"11/ 4/2026  5:06 PM", "11/04/2026 5:06 pm", "11/ 4/2026 12:06 AM"}) {
            simpleText("MM/dd/yyyy h:mm a", "PST", text);
        }
        for (Locale locale : new Locale[] {Locale.US, Locale.UK, Locale.CANADA, new Locale("en", "AU"), new Locale("en", "NZ"), new Locale("en", "IE"), new Locale("en", "IN"), new Locale("en", "ZA")}) {
            for (String pattern : new String[] {"EEE, d MMM yyyy h:mm:ss a XXX", "EEEE d MMMM yyyy hh:mm a z", "MMM. d, yyyy h:mma Z"}) {
                for (int month = 1; month <= 12; month++) {
                    names(locale, pattern, Instant.parse(String.format("2026-%02d-%02dT%02d:30:00Z", month, month + 1, 2 * month - 1)));
                }
            }
        }
    }
}
